-- Generated from src/store/migrations by `bun run supabase:migrations`. Do not edit.

CREATE TABLE "budgets" (
	"id" uuid PRIMARY KEY NOT NULL,
	"tenant_id" uuid NOT NULL,
	"account_id" uuid NOT NULL,
	"period" text NOT NULL,
	"limit_nanos" bigint NOT NULL,
	"warn_percent" integer,
	"hard" boolean NOT NULL,
	"period_start" timestamp (3) with time zone,
	"spent_nanos" bigint DEFAULT 0 NOT NULL,
	"reserved_nanos" bigint DEFAULT 0 NOT NULL,
	"warned" boolean DEFAULT false NOT NULL,
	"exceeded" boolean DEFAULT false NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "budgets_one_each" UNIQUE("account_id","period"),
	CONSTRAINT "budgets_period" CHECK ("budgets"."period" in ('day', 'week', 'month', 'total')),
	CONSTRAINT "budgets_amounts" CHECK ("budgets"."limit_nanos" >= 0 and "budgets"."spent_nanos" >= 0 and "budgets"."reserved_nanos" >= 0),
	CONSTRAINT "budgets_warn" CHECK ("budgets"."warn_percent" between 1 and 100)
);
--> statement-breakpoint
CREATE TABLE "accounts" (
	"id" uuid PRIMARY KEY NOT NULL,
	"tenant_id" uuid NOT NULL,
	"kind" text NOT NULL,
	"owner_id" uuid NOT NULL,
	"balance_nanos" bigint DEFAULT 0 NOT NULL,
	"reserved_nanos" bigint DEFAULT 0 NOT NULL,
	"limited" boolean NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "accounts_owner" UNIQUE("tenant_id","kind","owner_id"),
	CONSTRAINT "accounts_kind" CHECK ("accounts"."kind" in ('tenant', 'user', 'key') or ("accounts"."kind" = 'system' and not "accounts"."limited")),
	CONSTRAINT "accounts_not_overdrawn" CHECK (not "accounts"."limited" or "accounts"."balance_nanos" - "accounts"."reserved_nanos" >= 0),
	CONSTRAINT "accounts_reserved" CHECK ("accounts"."reserved_nanos" >= 0)
);
--> statement-breakpoint
CREATE TABLE "ledger_entries" (
	"seq" bigserial NOT NULL,
	"transaction_id" uuid NOT NULL,
	"tenant_id" uuid NOT NULL,
	"account_id" uuid NOT NULL,
	"kind" text NOT NULL,
	"amount_nanos" bigint NOT NULL,
	"balance_nanos" bigint NOT NULL,
	"reservation_id" uuid,
	"reason" text,
	"actor_id" uuid,
	"idempotency_key" text,
	"created_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "ledger_entries_transaction_id_account_id_pk" PRIMARY KEY("transaction_id","account_id"),
	CONSTRAINT "ledger_entries_kind" CHECK ("ledger_entries"."kind" in ('topup', 'grant', 'refund', 'adjustment', 'charge')),
	CONSTRAINT "ledger_entries_amount" CHECK ("ledger_entries"."amount_nanos" <> 0),
	CONSTRAINT "ledger_entries_charge" CHECK ("ledger_entries"."kind" <> 'charge' or "ledger_entries"."reservation_id" is not distinct from "ledger_entries"."transaction_id")
);
--> statement-breakpoint
CREATE TABLE "outbox" (
	"id" uuid PRIMARY KEY NOT NULL,
	"tenant_id" uuid NOT NULL,
	"user_id" uuid,
	"type" text NOT NULL,
	"data" jsonb NOT NULL,
	"attempts" integer DEFAULT 0 NOT NULL,
	"next_at" timestamp (3) with time zone NOT NULL,
	"error" text,
	"created_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "provider_keys" (
	"tenant_id" uuid NOT NULL,
	"provider" text NOT NULL,
	"sealed" text NOT NULL,
	"last_four" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "provider_keys_tenant_id_provider_pk" PRIMARY KEY("tenant_id","provider")
);
--> statement-breakpoint
CREATE TABLE "reservations" (
	"id" uuid PRIMARY KEY NOT NULL,
	"tenant_id" uuid NOT NULL,
	"account_ids" uuid[] NOT NULL,
	"amount_nanos" bigint NOT NULL,
	"state" text NOT NULL,
	"settled_nanos" bigint,
	"uncollected_nanos" bigint,
	"run_id" uuid,
	"usage" jsonb,
	"expires_at" timestamp (3) with time zone NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"resolved_at" timestamp (3) with time zone,
	CONSTRAINT "reservations_state" CHECK ("reservations"."state" in ('open', 'settled', 'voided', 'expired')),
	CONSTRAINT "reservations_accounts" CHECK (cardinality("reservations"."account_ids") > 0),
	CONSTRAINT "reservations_amounts" CHECK ("reservations"."amount_nanos" > 0 and "reservations"."settled_nanos" >= 0 and "reservations"."uncollected_nanos" >= 0),
	CONSTRAINT "reservations_resolved" CHECK (("reservations"."state" = 'open') = ("reservations"."resolved_at" is null)),
	CONSTRAINT "reservations_settled" CHECK (("reservations"."state" = 'settled') = ("reservations"."settled_nanos" is not null) and ("reservations"."settled_nanos" is null) = ("reservations"."uncollected_nanos" is null))
);
--> statement-breakpoint
CREATE TABLE "usage_quarters" (
	"tenant_id" uuid NOT NULL,
	"user_id" uuid NOT NULL,
	"key_id" uuid NOT NULL,
	"model" text NOT NULL,
	"quarter" timestamp (3) with time zone NOT NULL,
	"answers" integer NOT NULL,
	"completed" integer NOT NULL,
	"stopped" integer NOT NULL,
	"failed" integer NOT NULL,
	"prompt_tokens" bigint NOT NULL,
	"completion_tokens" bigint NOT NULL,
	"cached_tokens" bigint NOT NULL,
	"reasoning_tokens" bigint NOT NULL,
	"cost_nanos" bigint NOT NULL,
	"charge_nanos" bigint NOT NULL,
	"saved_nanos" bigint NOT NULL,
	"unpriced" integer NOT NULL,
	"estimated" integer NOT NULL,
	CONSTRAINT "usage_quarters_user_id_quarter_model_key_id_pk" PRIMARY KEY("user_id","quarter","model","key_id")
);
--> statement-breakpoint
CREATE TABLE "usage_records" (
	"id" uuid PRIMARY KEY NOT NULL,
	"tenant_id" uuid NOT NULL,
	"user_id" uuid NOT NULL,
	"key_id" uuid,
	"conversation_id" uuid,
	"message_id" uuid,
	"run_id" uuid,
	"model" text NOT NULL,
	"provider" text,
	"provider_model" text,
	"status" text NOT NULL,
	"finish_reason" text,
	"prompt_tokens" bigint NOT NULL,
	"completion_tokens" bigint NOT NULL,
	"cached_tokens" bigint NOT NULL,
	"reasoning_tokens" bigint NOT NULL,
	"usage" jsonb,
	"cost_nanos" bigint,
	"charge_nanos" bigint NOT NULL,
	"reported_nanos" bigint,
	"saved_nanos" bigint NOT NULL,
	"parts" jsonb,
	"cost_basis" text NOT NULL,
	"price_version" text,
	"first_token_ms" integer,
	"latency_ms" integer,
	"created_at" timestamp (3) with time zone NOT NULL,
	"completed_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
ALTER TABLE "tenants" ADD COLUMN "slug" text;--> statement-breakpoint
ALTER TABLE "tenants" ADD COLUMN "allowed_models" text[];--> statement-breakpoint
ALTER TABLE "tenants" ADD COLUMN "margin_bp" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "tenants" ADD COLUMN "billing" text;--> statement-breakpoint
ALTER TABLE "tenants" ADD COLUMN "limits" jsonb;--> statement-breakpoint
ALTER TABLE "tenants" ADD COLUMN "disabled_at" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "tenants" ADD COLUMN "updated_at" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "users" ADD COLUMN "preferences" jsonb DEFAULT '{}'::jsonb NOT NULL;--> statement-breakpoint
ALTER TABLE "users" ADD COLUMN "time_zone" text;--> statement-breakpoint
ALTER TABLE "users" ADD COLUMN "allowed_models" text[];--> statement-breakpoint
ALTER TABLE "users" ADD COLUMN "limits" jsonb;--> statement-breakpoint
ALTER TABLE "budgets" ADD CONSTRAINT "budgets_account_id_accounts_id_fk" FOREIGN KEY ("account_id") REFERENCES "public"."accounts"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "accounts" ADD CONSTRAINT "accounts_tenant_id_tenants_id_fk" FOREIGN KEY ("tenant_id") REFERENCES "public"."tenants"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "ledger_entries" ADD CONSTRAINT "ledger_entries_account_id_accounts_id_fk" FOREIGN KEY ("account_id") REFERENCES "public"."accounts"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "provider_keys" ADD CONSTRAINT "provider_keys_tenant_id_tenants_id_fk" FOREIGN KEY ("tenant_id") REFERENCES "public"."tenants"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE UNIQUE INDEX "ledger_entries_order" ON "ledger_entries" USING btree ("account_id","seq");--> statement-breakpoint
CREATE UNIQUE INDEX "ledger_entries_idempotency" ON "ledger_entries" USING btree ("tenant_id","idempotency_key") WHERE "ledger_entries"."idempotency_key" is not null;--> statement-breakpoint
CREATE INDEX "outbox_due" ON "outbox" USING btree ("next_at");--> statement-breakpoint
CREATE INDEX "reservations_open" ON "reservations" USING btree ("expires_at") WHERE "reservations"."state" = 'open';--> statement-breakpoint
CREATE INDEX "reservations_run" ON "reservations" USING btree ("run_id") WHERE "reservations"."run_id" is not null;--> statement-breakpoint
CREATE INDEX "usage_quarters_tenant" ON "usage_quarters" USING btree ("tenant_id","quarter");--> statement-breakpoint
CREATE INDEX "usage_records_user" ON "usage_records" USING btree ("user_id","completed_at","id");--> statement-breakpoint
CREATE INDEX "usage_records_tenant" ON "usage_records" USING btree ("tenant_id","completed_at","id");--> statement-breakpoint
CREATE INDEX "usage_records_completed" ON "usage_records" USING btree ("completed_at","id");--> statement-breakpoint
CREATE INDEX "usage_records_conversation" ON "usage_records" USING btree ("conversation_id") WHERE "usage_records"."conversation_id" is not null;--> statement-breakpoint
ALTER TABLE "tenants" ADD CONSTRAINT "tenants_slug_unique" UNIQUE("slug");
--> statement-breakpoint
-- What is written in the books stays there.
CREATE FUNCTION ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE restrict_violation USING MESSAGE = 'entries of the ledger are never changed or deleted';
END $$;
--> statement-breakpoint
CREATE TRIGGER ledger_refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entries FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse();
--> statement-breakpoint
-- A transaction is written by one statement, and its entries add up to zero.
CREATE FUNCTION ledger_balanced() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM written GROUP BY transaction_id HAVING sum(amount_nanos) <> 0) THEN
    RAISE check_violation USING MESSAGE = 'the entries of a transaction must add up to zero', CONSTRAINT = 'ledger_entries_balanced';
  END IF;
  RETURN NULL;
END $$;
--> statement-breakpoint
CREATE TRIGGER ledger_balanced AFTER INSERT ON ledger_entries REFERENCING NEW TABLE AS written
FOR EACH STATEMENT EXECUTE FUNCTION ledger_balanced();
--> statement-breakpoint
CREATE FUNCTION resolve_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE restrict_violation USING MESSAGE = 'a reservation is resolved once';
END $$;
--> statement-breakpoint
CREATE TRIGGER resolve_once BEFORE UPDATE ON reservations FOR EACH ROW WHEN (OLD.state <> 'open') EXECUTE FUNCTION resolve_once();
--> statement-breakpoint
-- Every function below locks in one order, so that none waits for another for ever: reservations by id, then accounts by id.
-- An account's lock is its budgets', too: nobody reads them to change them without it.
-- Amounts leave as text: JSON's readers take large numbers for floats.
-- Their statements are planned once for each connection, which may be while the tables are still empty: so they name the rows they
-- mean by indexed columns, and may read no table whole.

-- The beginning of the period in which p_at is, in UTC; a week's is Monday. Null for the whole time.
CREATE FUNCTION budget_start(p_period text, p_at timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN p_period <> 'total' THEN date_trunc(p_period, p_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' END
$$;
--> statement-breakpoint
-- The budgets of some accounts as they are at p_at: a new period begins with nothing spent and nothing told. What is reserved
-- goes along, as it will be spent in the new one. A clock that jumps back opens no old period again.
CREATE FUNCTION budgets_at(p_accounts uuid[], p_at timestamptz) RETURNS SETOF budgets LANGUAGE sql STABLE AS $$
  SELECT b.id, b.tenant_id, b.account_id, b.period, b.limit_nanos, b.warn_percent, b.hard,
    CASE WHEN n.begins THEN n.start ELSE b.period_start END, CASE WHEN n.begins THEN 0 ELSE b.spent_nanos END, b.reserved_nanos,
    b.warned AND NOT n.begins, b.exceeded AND NOT n.begins, b.created_at, b.updated_at
  FROM budgets b
  CROSS JOIN LATERAL (
    SELECT start, coalesce(start > b.period_start, start IS NOT NULL) AS begins FROM budget_start(b.period, p_at) AS start
  ) n
  WHERE b.account_id = ANY (p_accounts)
$$;
--> statement-breakpoint
-- Writes down for webhooks what became of a budget.
CREATE FUNCTION budget_tell(p_budget budgets, p_type text, p_at timestamptz) RETURNS void LANGUAGE sql AS $$
  INSERT INTO outbox (id, tenant_id, user_id, type, data, next_at, created_at)
  SELECT gen_random_uuid(), a.tenant_id, CASE a.kind WHEN 'user' THEN a.owner_id END, p_type,
    jsonb_build_object('budget_id', (p_budget).id, 'account_id', a.id, 'kind', a.kind, 'owner_id', a.owner_id,
      'period', (p_budget).period, 'period_start', (p_budget).period_start, 'hard', (p_budget).hard,
      'warn_percent', (p_budget).warn_percent, 'limit_nanos', (p_budget).limit_nanos::text,
      'spent_nanos', (p_budget).spent_nanos::text, 'reserved_nanos', (p_budget).reserved_nanos::text), p_at, p_at
  FROM accounts a WHERE a.id = (p_budget).account_id
$$;
--> statement-breakpoint
-- Makes a budget, or gives the one of this account and period other limits. What was spent in the period already counts.
--   p_budget: { id, own_id, tenant_id, account_id, period, limit_nanos, warn_percent, hard, at }. `own_id` is the id of one that whom it
--     is about has set: with it as `id` nobody else's gets looser, and with another `id` it is theirs no more.
--   returns whether there is such an account; null when it would get looser
CREATE FUNCTION budget_put(p_budget jsonb) RETURNS boolean LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
  v_new budgets := jsonb_populate_record(null::budgets, p_budget);
  v_at timestamptz := p_budget->>'at';
  v_own uuid := p_budget->>'own_id';
BEGIN
  PERFORM 1 FROM accounts WHERE id = v_new.account_id AND tenant_id = v_new.tenant_id AND kind <> 'system' FOR NO KEY UPDATE;
  IF NOT FOUND THEN RETURN false; END IF;
  -- With other limits there is something new to tell.
  UPDATE budgets SET id = CASE id WHEN v_own THEN v_new.id ELSE id END, limit_nanos = v_new.limit_nanos,
    warn_percent = v_new.warn_percent, hard = v_new.hard, updated_at = v_at,
    warned = warned AND (limit_nanos, warn_percent) IS NOT DISTINCT FROM (v_new.limit_nanos, v_new.warn_percent),
    exceeded = exceeded AND limit_nanos = v_new.limit_nanos
  WHERE account_id = v_new.account_id AND period = v_new.period
    AND (v_new.id IS DISTINCT FROM v_own OR id = v_own OR limit_nanos >= v_new.limit_nanos AND (v_new.hard OR NOT hard));
  IF FOUND THEN RETURN true; END IF;
  IF EXISTS (SELECT FROM budgets WHERE account_id = v_new.account_id AND period = v_new.period) THEN RETURN null; END IF;
  v_new.period_start := budget_start(v_new.period, v_at);
  INSERT INTO budgets (id, tenant_id, account_id, period, limit_nanos, warn_percent, hard, period_start, spent_nanos, reserved_nanos,
    created_at, updated_at)
  SELECT v_new.id, v_new.tenant_id, v_new.account_id, v_new.period, v_new.limit_nanos, v_new.warn_percent, v_new.hard,
    v_new.period_start,
    (SELECT coalesce(-sum(amount_nanos), 0) FROM ledger_entries WHERE account_id = v_new.account_id AND kind = 'charge'
      AND (v_new.period_start IS NULL OR created_at >= v_new.period_start)),
    (SELECT coalesce(sum(amount_nanos), 0) FROM reservations WHERE state = 'open' AND v_new.account_id = ANY (account_ids)),
    v_at, v_at;
  RETURN true;
END $$;
--> statement-breakpoint
-- Keeps money back, item by item in the order given. One that is refused does not touch the others.
--   p_items: [{ id, accounts: [id], optional: [id], amount, unpriced, usage, run_id, expires_at, at }]
--   returns as many: { outcome: 'reserved' | 'insufficient' | 'no_account' | 'unpriced' | 'taken', limited, available,
--     budget: { id, period, kind } where that is what refuses }
-- Reserving the same again changes nothing and says 'reserved'. 'taken': the id stands for something else, or is resolved.
-- An account that is not limited has four billion dollars to reserve: enough to refuse nothing, and too little to overflow.
-- A hard budget refuses what would go beyond it; the first time in its period an event says so.
CREATE FUNCTION ledger_reserve(p_items jsonb) RETURNS json LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
  v_wanted uuid[] := array(SELECT DISTINCT a::uuid FROM jsonb_array_elements(p_items) i,
    jsonb_array_elements_text((i->'accounts') || coalesce(i->'optional', '[]')) a);
  v_named uuid[] := array(SELECT DISTINCT (i->>'id')::uuid FROM jsonb_array_elements(p_items) i);
  v_now timestamptz := (SELECT max((i->>'at')::timestamptz) FROM jsonb_array_elements(p_items) i);
  v_rows reservations[];
  v_row reservations;
  v_new reservations[] := '{}';
  -- Of each account.
  v_ids uuid[];
  v_tenants uuid[];
  v_kinds text[];
  v_limits boolean[];
  v_free bigint[];
  v_taken bigint[];
  -- Of each account with hard budgets: the one with the least left, and how much that was before this call. What is reserved
  -- from an account is reserved from all of its budgets, so it keeps the least.
  v_tight uuid[] := '{}';
  v_periods text[] := '{}';
  v_left bigint[] := '{}';
  v_budget budgets;
  v_budgeted boolean := false;
  v_refusing uuid[] := '{}';
  v_told record;
  v_item record;
  v_places int[];
  v_place int;
  v_tightest int;
  v_tenant uuid;
  v_least bigint;
  v_known boolean;
  v_limited boolean;
  v_outcome text;
  v_answers json[] := '{}';
BEGIN
  -- Somebody waits for a first word. What the database forgets when it dies is reserved again when it is settled.
  PERFORM set_config('synchronous_commit', 'off', true);
  SELECT array_agg(id), array_agg(tenant_id), array_agg(kind), array_agg(limited), array_agg(free), array_agg(0::bigint)
  INTO v_ids, v_tenants, v_kinds, v_limits, v_free, v_taken
  FROM (
    SELECT id, tenant_id, kind, limited, balance_nanos - reserved_nanos + CASE WHEN limited THEN 0 ELSE 4000000000000000000 END AS free
    FROM accounts WHERE id = ANY (v_wanted) AND kind <> 'system' ORDER BY id FOR NO KEY UPDATE
  ) locked;
  v_rows := array(SELECT (SELECT r FROM reservations r WHERE r.id = n.id) FROM unnest(v_named) WITH ORDINALITY n(id, ord) ORDER BY n.ord);
  FOR v_budget IN SELECT * FROM budgets_at(v_ids, v_now) LOOP
    v_budgeted := true;
    v_place := array_position(v_ids, v_budget.account_id);
    v_least := v_budget.limit_nanos - v_budget.spent_nanos - v_budget.reserved_nanos;
    IF v_budget.hard AND coalesce(v_least < v_left[v_place], true) THEN
      v_left[v_place] := v_least;
      v_tight[v_place] := v_budget.id;
      v_periods[v_place] := v_budget.period;
    END IF;
  END LOOP;

  FOR v_item IN
    SELECT i.id, i.accounts, i.optional, i.amount, coalesce(i.unpriced, false) AS unpriced, i.usage, i.run_id, i.expires_at, i.at,
      array_position(v_named, i.id) AS place
    FROM ROWS FROM (jsonb_to_recordset(p_items) AS (id uuid, accounts uuid[], optional uuid[], amount bigint, unpriced boolean,
      usage jsonb, run_id uuid, expires_at timestamptz, at timestamptz)) WITH ORDINALITY
      AS i(id, accounts, optional, amount, unpriced, usage, run_id, expires_at, at, ord)
    ORDER BY i.ord
  LOOP
    v_places := array(
      SELECT array_position(v_ids, a) FROM unnest(v_item.accounts) a
      UNION SELECT array_position(v_ids, a) FROM unnest(v_item.optional) a WHERE a = ANY (v_ids)
      ORDER BY 1);
    v_tenant := v_tenants[v_places[1]];
    v_known := v_tenant IS NOT NULL;
    v_limited := false;
    v_least := NULL;
    v_tightest := NULL;
    FOREACH v_place IN ARRAY v_places LOOP
      v_known := v_known AND v_tenants[v_place] IS NOT DISTINCT FROM v_tenant;
      v_limited := v_limited OR v_limits[v_place] OR v_tight[v_place] IS NOT NULL;
      v_least := least(v_least, v_free[v_place]);
    END LOOP;
    IF v_budgeted THEN
      FOREACH v_place IN ARRAY v_places LOOP
        IF v_left[v_place] - v_taken[v_place] < v_least THEN
          v_least := v_left[v_place] - v_taken[v_place];
          v_tightest := v_place;
        END IF;
      END LOOP;
    END IF;

    v_row := v_rows[v_item.place];
    IF v_row.id IS NOT NULL THEN
      -- An account that is charged where it exists may have been made since.
      v_outcome := CASE WHEN (v_row.state, v_row.amount_nanos) = ('open', v_item.amount) AND v_row.account_ids @> v_item.accounts
        AND v_row.account_ids <@ (v_item.accounts || v_item.optional) THEN 'reserved' ELSE 'taken' END;
    ELSIF NOT v_known THEN
      v_outcome := 'no_account';
    ELSIF v_item.unpriced AND v_limited THEN
      v_outcome := 'unpriced';
    ELSIF v_least < v_item.amount THEN
      v_outcome := 'insufficient';
      IF v_tightest IS NOT NULL THEN v_refusing := v_refusing || v_tight[v_tightest]; END IF;
    ELSE
      v_outcome := 'reserved';
      v_row.id := v_item.id;
      v_row.tenant_id := v_tenant;
      v_row.account_ids := array(SELECT v_ids[p] FROM unnest(v_places) p);
      v_row.amount_nanos := v_item.amount;
      v_row.state := 'open';
      v_row.run_id := v_item.run_id;
      v_row.usage := v_item.usage;
      v_row.expires_at := v_item.expires_at;
      v_row.created_at := v_item.at;
      v_rows[v_item.place] := v_row;
      v_new := v_new || v_row;
      FOREACH v_place IN ARRAY v_places LOOP
        v_free[v_place] := v_free[v_place] - v_item.amount;
        v_taken[v_place] := v_taken[v_place] + v_item.amount;
      END LOOP;
    END IF;
    v_answers := v_answers || json_build_object('outcome', v_outcome, 'limited', v_limited, 'available', greatest(v_least, 0)::text,
      'budget', CASE WHEN v_tightest IS NOT NULL THEN json_build_object('id', v_tight[v_tightest], 'period', v_periods[v_tightest],
        'kind', v_kinds[v_tightest]) END);
  END LOOP;

  INSERT INTO reservations SELECT * FROM unnest(v_new);
  UPDATE accounts a SET reserved_nanos = a.reserved_nanos + t.taken
  FROM unnest(v_ids, v_taken) AS t(id, taken) WHERE a.id = t.id AND t.taken > 0;
  IF v_budgeted THEN
    FOR v_told IN
      UPDATE budgets b SET period_start = n.period_start, spent_nanos = n.spent_nanos, warned = n.warned,
        reserved_nanos = n.reserved_nanos + t.taken, exceeded = n.exceeded OR n.id = ANY (v_refusing)
      FROM budgets_at(v_ids, v_now) n JOIN unnest(v_ids, v_taken) AS t(id, taken) ON t.id = n.account_id
      WHERE b.id = n.id AND (t.taken > 0 OR n.id = ANY (v_refusing) AND NOT n.exceeded)
      RETURNING b AS budget, b.exceeded AND NOT n.exceeded AS exceeded
    LOOP
      IF v_told.exceeded THEN PERFORM budget_tell(v_told.budget, 'budget.exceeded', v_now); END IF;
    END LOOP;
  END IF;
  RETURN array_to_json(v_answers);
END $$;
--> statement-breakpoint
-- Keeps more money back for a reservation that is open. Without p_at a budget counts it in the period it is in.
--   returns { outcome: 'extended' | 'insufficient' | 'closed' | 'unknown', available and budget (insufficient), state (closed) }
CREATE FUNCTION ledger_extend(p_id uuid, p_by bigint, p_expires_at timestamptz, p_at timestamptz) RETURNS json LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
  v_reservation reservations;
  v_least bigint;
  v_left bigint;
  v_budget budgets;
  v_kind text;
BEGIN
  SELECT * INTO v_reservation FROM reservations WHERE id = p_id FOR UPDATE;
  IF NOT FOUND THEN RETURN '{"outcome": "unknown"}'; END IF;
  IF v_reservation.state <> 'open' THEN RETURN json_build_object('outcome', 'closed', 'state', v_reservation.state); END IF;
  SELECT min(free) INTO v_least FROM (
    SELECT balance_nanos - reserved_nanos + CASE WHEN limited THEN 0 ELSE 4000000000000000000 END AS free
    FROM accounts WHERE id = ANY (v_reservation.account_ids) ORDER BY id FOR NO KEY UPDATE
  ) locked;
  SELECT * INTO v_budget FROM budgets_at(v_reservation.account_ids, p_at) WHERE hard
  ORDER BY limit_nanos - spent_nanos - reserved_nanos LIMIT 1;
  v_left := v_budget.limit_nanos - v_budget.spent_nanos - v_budget.reserved_nanos;
  IF least(v_least, v_left) < p_by THEN
    IF v_left < v_least THEN
      SELECT kind INTO v_kind FROM accounts WHERE id = v_budget.account_id;
      UPDATE budgets SET exceeded = true WHERE id = v_budget.id AND NOT exceeded;
      IF FOUND THEN PERFORM budget_tell(v_budget, 'budget.exceeded', now()); END IF;
    END IF;
    RETURN json_build_object('outcome', 'insufficient', 'available', greatest(least(v_least, v_left), 0)::text, 'budget',
      CASE WHEN v_left < v_least THEN json_build_object('id', v_budget.id, 'period', v_budget.period, 'kind', v_kind) END);
  END IF;
  UPDATE accounts SET reserved_nanos = reserved_nanos + p_by WHERE id = ANY (v_reservation.account_ids);
  UPDATE budgets SET reserved_nanos = reserved_nanos + p_by WHERE account_id = ANY (v_reservation.account_ids);
  UPDATE reservations SET amount_nanos = amount_nanos + p_by, expires_at = greatest(expires_at, p_expires_at) WHERE id = p_id;
  RETURN '{"outcome": "extended"}';
END $$;
--> statement-breakpoint
-- Writes records of usage that are new, and adds them to the sums of their quarters of an hour. In the order of the key, so that
-- two writers never wait for each other.
CREATE FUNCTION usage_write(p_records jsonb[]) RETURNS void LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
  WITH written AS (
    INSERT INTO usage_records SELECT r.* FROM unnest(p_records) p, jsonb_populate_record(null::usage_records, p) r
    ON CONFLICT (id) DO NOTHING RETURNING *
  )
  INSERT INTO usage_quarters AS q (tenant_id, user_id, key_id, model, quarter, answers, completed, stopped, failed, prompt_tokens,
    completion_tokens, cached_tokens, reasoning_tokens, cost_nanos, charge_nanos, saved_nanos, unpriced, estimated)
  SELECT (array_agg(tenant_id))[1], user_id, coalesce(key_id, '00000000-0000-0000-0000-000000000000'), model,
    date_bin('15 minutes', completed_at, '2000-01-01 00:00:00+00'), count(*), count(*) FILTER (WHERE status = 'completed'),
    count(*) FILTER (WHERE status = 'stopped'), count(*) FILTER (WHERE status IN ('failed', 'interrupted', 'expired')),
    sum(prompt_tokens), sum(completion_tokens), sum(cached_tokens), sum(reasoning_tokens), coalesce(sum(cost_nanos), 0),
    sum(charge_nanos), sum(saved_nanos), count(*) FILTER (WHERE cost_nanos IS NULL), count(*) FILTER (WHERE cost_basis = 'estimated')
  FROM written GROUP BY 2, 3, 4, 5 ORDER BY 2, 5, 4, 3
  ON CONFLICT (user_id, quarter, model, key_id) DO UPDATE SET answers = q.answers + excluded.answers,
    completed = q.completed + excluded.completed, stopped = q.stopped + excluded.stopped, failed = q.failed + excluded.failed,
    prompt_tokens = q.prompt_tokens + excluded.prompt_tokens, completion_tokens = q.completion_tokens + excluded.completion_tokens,
    cached_tokens = q.cached_tokens + excluded.cached_tokens, reasoning_tokens = q.reasoning_tokens + excluded.reasoning_tokens,
    cost_nanos = q.cost_nanos + excluded.cost_nanos, charge_nanos = q.charge_nanos + excluded.charge_nanos,
    saved_nanos = q.saved_nanos + excluded.saved_nanos, unpriced = q.unpriced + excluded.unpriced,
    estimated = q.estimated + excluded.estimated;
END $$;
--> statement-breakpoint
-- Resolves reservations, item by item in the order given. What is resolved already stays as it is, and writes nothing.
--   p_items: [{ id, state: 'settled' | 'voided' | 'expired', amount (settled), at, and of a settlement, if need be: usage (a row of
--     usage_records; what was charged is filled in), event: { id, tenant_id, user_id, type, data (its `charge_nanos` likewise),
--     created_at }, low_at }]
--   returns as many: { state, settled, uncollected }, as it now is; null for an id that is nobody's
-- Every account of a reservation is charged the same. What an answer cost above its reservation is charged as far as the
-- limited account with the least left can pay, down to zero and no further; the rest is uncollected. Budgets count what was
-- charged, even beyond their limits: it was spent.
-- Of what expires a record is written where it is known what it was for. A person's limited balance that falls below low_at, and
-- a budget that is nearly or entirely used up, are told.
CREATE FUNCTION ledger_resolve(p_items jsonb) RETURNS json LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
  v_named uuid[] := array(SELECT DISTINCT (i->>'id')::uuid FROM jsonb_array_elements(p_items) i);
  v_settles boolean := EXISTS (SELECT FROM jsonb_array_elements(p_items) i WHERE i->>'state' = 'settled');
  v_now timestamptz := (SELECT max((i->>'at')::timestamptz) FROM jsonb_array_elements(p_items) i);
  v_rows reservations[];
  v_row reservations;
  v_entries ledger_entries[] := '{}';
  v_entry ledger_entries;
  v_usage jsonb[] := '{}';
  v_events jsonb[] := '{}';
  v_wanted uuid[];
  -- Of each account.
  v_ids uuid[];
  v_free bigint[];
  v_balances bigint[];
  v_released bigint[];
  v_charged bigint[];
  -- The person, of a limited account of theirs.
  v_people uuid[];
  -- The one that is the other side of its transactions.
  v_systems int[];
  v_item record;
  v_places int[];
  v_place int;
  v_charge bigint;
  v_told record;
  v_answers json[] := '{}';
BEGIN
  SELECT array_agg(id), array_agg(locked::reservations) INTO v_named, v_rows
  FROM (SELECT * FROM reservations WHERE id = ANY (v_named) ORDER BY id FOR UPDATE) locked;
  v_wanted := array(
    SELECT unnest(account_ids) FROM unnest(v_rows) WHERE state = 'open'
    UNION
    SELECT s.id FROM unnest(v_rows) r JOIN accounts s ON s.tenant_id = r.tenant_id AND s.kind = 'system'
    WHERE v_settles AND r.state = 'open');
  SELECT array_agg(id), array_agg(free), array_agg(balance_nanos), array_agg(0::bigint), array_agg(0::bigint), array_agg(person),
    array_agg(system)
  INTO v_ids, v_free, v_balances, v_released, v_charged, v_people, v_systems
  FROM (
    SELECT id, free, balance_nanos, person, max(place) FILTER (WHERE kind = 'system') OVER (PARTITION BY tenant_id) AS system, place
    FROM (SELECT *, row_number() OVER (ORDER BY id)::int AS place FROM (
      SELECT id, tenant_id, kind, balance_nanos, CASE WHEN kind = 'user' AND limited THEN owner_id END AS person,
        balance_nanos - reserved_nanos + CASE WHEN limited THEN 0 ELSE 4000000000000000000 END AS free
      FROM accounts WHERE id = ANY (v_wanted) ORDER BY id FOR NO KEY UPDATE) locked) numbered
    ORDER BY place
  ) known;

  FOR v_item IN
    SELECT i.*, array_position(v_named, i.id) AS place
    FROM ROWS FROM (jsonb_to_recordset(p_items)
      AS (id uuid, state text, amount bigint, at timestamptz, usage jsonb, event jsonb, low_at bigint)) WITH ORDINALITY
      AS i(id, state, amount, at, usage, event, low_at, ord)
    ORDER BY i.ord
  LOOP
    v_row := v_rows[v_item.place];
    IF v_row.state = 'open' THEN
      v_places := array(SELECT array_position(v_ids, a) FROM unnest(v_row.account_ids) a);
      v_charge := CASE v_item.state WHEN 'settled' THEN v_item.amount ELSE 0 END;
      FOREACH v_place IN ARRAY v_places LOOP
        v_charge := least(v_charge, v_row.amount_nanos + greatest(v_free[v_place], 0));
      END LOOP;
      FOREACH v_place IN ARRAY v_places LOOP
        v_free[v_place] := v_free[v_place] + v_row.amount_nanos - v_charge;
        v_released[v_place] := v_released[v_place] + v_row.amount_nanos;
        v_charged[v_place] := v_charged[v_place] + v_charge;
      END LOOP;
      IF v_charge > 0 THEN
        v_entry.transaction_id := v_row.id;
        v_entry.tenant_id := v_row.tenant_id;
        v_entry.created_at := v_item.at;
        FOREACH v_place IN ARRAY v_places || v_systems[v_places[1]] LOOP
          v_entry.account_id := v_ids[v_place];
          v_entry.amount_nanos := CASE v_place WHEN v_systems[v_place] THEN v_charge * cardinality(v_places) ELSE -v_charge END;
          v_balances[v_place] := v_balances[v_place] + v_entry.amount_nanos;
          v_entry.balance_nanos := v_balances[v_place];
          v_entries := v_entries || v_entry;
          IF v_people[v_place] IS NOT NULL AND v_balances[v_place] < v_item.low_at
            AND v_balances[v_place] + v_charge >= v_item.low_at THEN
            v_events := v_events || jsonb_build_object('id', gen_random_uuid(), 'tenant_id', v_row.tenant_id,
              'user_id', v_people[v_place], 'type', 'balance.low', 'created_at', v_item.at, 'data', jsonb_build_object(
                'account_id', v_ids[v_place], 'reservation_id', v_row.id, 'balance_nanos', v_balances[v_place]::text,
                'threshold_nanos', v_item.low_at::text));
          END IF;
        END LOOP;
      END IF;
      IF v_item.state = 'settled' AND v_item.usage IS NOT NULL THEN
        v_usage := v_usage || (v_item.usage || jsonb_build_object('id', v_row.id, 'charge_nanos', v_charge));
      ELSIF v_item.state = 'expired' AND v_row.usage IS NOT NULL THEN
        v_usage := v_usage || (v_row.usage || jsonb_build_object('id', v_row.id, 'status', 'expired', 'completion_tokens', 0,
          'cached_tokens', 0, 'reasoning_tokens', 0, 'charge_nanos', 0, 'saved_nanos', 0, 'cost_basis', 'estimated',
          'completed_at', v_item.at));
      END IF;
      IF v_item.event->'data' ? 'charge_nanos' THEN
        v_item.event := jsonb_set(v_item.event, '{data,charge_nanos}', to_jsonb(v_charge::text));
      END IF;
      IF v_item.event IS NOT NULL THEN v_events := v_events || v_item.event; END IF;
      v_row.state := v_item.state;
      v_row.resolved_at := v_item.at;
      IF v_item.state = 'settled' THEN
        v_row.settled_nanos := v_charge;
        v_row.uncollected_nanos := v_item.amount - v_charge;
      END IF;
      v_rows[v_item.place] := v_row;
    END IF;
    v_answers := v_answers || CASE WHEN v_row.id IS NULL THEN 'null' ELSE json_build_object('state', v_row.state,
      'settled', v_row.settled_nanos::text, 'uncollected', v_row.uncollected_nanos::text) END;
  END LOOP;

  INSERT INTO ledger_entries (transaction_id, tenant_id, account_id, kind, amount_nanos, balance_nanos, reservation_id, created_at)
  SELECT transaction_id, tenant_id, account_id, 'charge', amount_nanos, balance_nanos, transaction_id, created_at FROM unnest(v_entries);
  UPDATE reservations r SET state = n.state, resolved_at = n.resolved_at, settled_nanos = n.settled_nanos,
    uncollected_nanos = n.uncollected_nanos
  FROM unnest(v_rows) n WHERE r.id = n.id AND r.state = 'open' AND n.state <> 'open';
  UPDATE accounts a SET balance_nanos = t.balance, reserved_nanos = a.reserved_nanos - t.released
  FROM unnest(v_ids, v_balances, v_released) AS t(id, balance, released)
  WHERE a.id = t.id AND (a.balance_nanos <> t.balance OR t.released <> 0);
  FOR v_told IN
    UPDATE budgets b SET period_start = n.period_start, spent_nanos = n.spent_nanos + t.charged,
      reserved_nanos = greatest(n.reserved_nanos - t.released, 0),
      warned = n.warned OR t.charged > 0
        AND coalesce((n.spent_nanos + t.charged)::numeric * 100 >= n.limit_nanos::numeric * n.warn_percent, false),
      exceeded = n.exceeded OR t.charged > 0 AND n.spent_nanos + t.charged >= n.limit_nanos
    FROM budgets_at(v_ids, v_now) n JOIN unnest(v_ids, v_released, v_charged) AS t(id, released, charged) ON t.id = n.account_id
    WHERE b.id = n.id AND t.released <> 0
    RETURNING b AS budget, b.warned AND NOT n.warned AS warned, b.exceeded AND NOT n.exceeded AS exceeded
  LOOP
    IF v_told.warned THEN PERFORM budget_tell(v_told.budget, 'budget.warning', v_now); END IF;
    IF v_told.exceeded THEN PERFORM budget_tell(v_told.budget, 'budget.exceeded', v_now); END IF;
  END LOOP;
  IF cardinality(v_usage) > 0 THEN PERFORM usage_write(v_usage); END IF;
  IF cardinality(v_events) > 0 THEN
    INSERT INTO outbox (id, tenant_id, user_id, type, data, next_at, created_at)
    SELECT e.id, e.tenant_id, e.user_id, e.type, e.data, e.created_at, e.created_at
    FROM unnest(v_events) v, jsonb_populate_record(null::outbox, v) e ON CONFLICT (id) DO NOTHING;
  END IF;
  RETURN array_to_json(v_answers);
END $$;
--> statement-breakpoint
-- Resolves as expired what should have been resolved before p_now, the oldest first and p_limit at most. What another sweeper,
-- or a settlement, is at just now is left to it.
--   returns how many
CREATE FUNCTION ledger_expire(p_now timestamptz, p_limit int) RETURNS int LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
  v_overdue jsonb;
BEGIN
  SELECT jsonb_agg(jsonb_build_object('id', id, 'state', 'expired', 'at', p_now)) INTO v_overdue FROM (
    SELECT id FROM reservations WHERE state = 'open' AND expires_at < p_now
    ORDER BY expires_at LIMIT p_limit FOR UPDATE SKIP LOCKED
  ) overdue;
  IF v_overdue IS NULL THEN RETURN 0; END IF;
  RETURN json_array_length(ledger_resolve(v_overdue));
END $$;
--> statement-breakpoint
-- Brings money in, or takes some out again (an adjustment below zero): two entries, once for each idempotency key of a tenant.
--   p_credit: { id (the transaction's), account, amount, kind, reason, actor, idempotency_key, reservation_id, at }
--   returns { outcome: 'credited' | 'conflict' | 'insufficient' | 'no_account', available (insufficient),
--             entry: { transaction_id, amount, balance, created_at } (credited) }
CREATE FUNCTION ledger_credit(p_credit jsonb) RETURNS json LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
  v_amount bigint := p_credit->>'amount';
  v_account accounts;
  v_system accounts;
  v_entry ledger_entries;
BEGIN
  SELECT * INTO v_account FROM accounts WHERE id = (p_credit->>'account')::uuid AND kind <> 'system';
  IF NOT FOUND THEN RETURN '{"outcome": "no_account"}'; END IF;
  PERFORM 1 FROM accounts WHERE id = v_account.id OR (tenant_id = v_account.tenant_id AND kind = 'system')
  ORDER BY id FOR NO KEY UPDATE;

  SELECT * INTO v_entry FROM ledger_entries
  WHERE tenant_id = v_account.tenant_id AND idempotency_key = p_credit->>'idempotency_key';
  IF NOT FOUND THEN
    UPDATE accounts SET balance_nanos = balance_nanos + v_amount
    WHERE id = v_account.id AND (v_amount > 0 OR NOT limited OR balance_nanos - reserved_nanos + v_amount >= 0)
    RETURNING * INTO v_account;
    IF NOT FOUND THEN
      RETURN (SELECT json_build_object('outcome', 'insufficient', 'available', (balance_nanos - reserved_nanos)::text)
        FROM accounts WHERE id = (p_credit->>'account')::uuid);
    END IF;
    UPDATE accounts SET balance_nanos = balance_nanos - v_amount
    WHERE tenant_id = v_account.tenant_id AND kind = 'system' RETURNING * INTO v_system;
    INSERT INTO ledger_entries (transaction_id, tenant_id, account_id, kind, amount_nanos, balance_nanos, reservation_id, reason,
      actor_id, idempotency_key, created_at)
    SELECT (p_credit->>'id')::uuid, v_account.tenant_id, e.account, p_credit->>'kind', e.amount, e.balance,
      (p_credit->>'reservation_id')::uuid, p_credit->>'reason', (p_credit->>'actor')::uuid, e.key, (p_credit->>'at')::timestamptz
    FROM (VALUES (v_account.id, v_amount, v_account.balance_nanos, p_credit->>'idempotency_key'),
      (v_system.id, -v_amount, v_system.balance_nanos, NULL)) AS e(account, amount, balance, key);
    SELECT * INTO v_entry FROM ledger_entries WHERE transaction_id = (p_credit->>'id')::uuid AND account_id = v_account.id;
  ELSIF (v_entry.account_id, v_entry.amount_nanos, v_entry.kind) IS DISTINCT FROM (v_account.id, v_amount, p_credit->>'kind') THEN
    RETURN '{"outcome": "conflict"}';
  END IF;
  RETURN json_build_object('outcome', 'credited', 'entry', json_build_object('transaction_id', v_entry.transaction_id,
    'amount', v_entry.amount_nanos::text, 'balance', v_entry.balance_nanos::text, 'created_at', v_entry.created_at));
END $$;

alter table public.budgets enable row level security;
revoke all on public.budgets from anon, authenticated;
alter table public.accounts enable row level security;
revoke all on public.accounts from anon, authenticated;
alter table public.ledger_entries enable row level security;
revoke all on public.ledger_entries from anon, authenticated;
alter table public.outbox enable row level security;
revoke all on public.outbox from anon, authenticated;
alter table public.provider_keys enable row level security;
revoke all on public.provider_keys from anon, authenticated;
alter table public.reservations enable row level security;
revoke all on public.reservations from anon, authenticated;
alter table public.usage_quarters enable row level security;
revoke all on public.usage_quarters from anon, authenticated;
alter table public.usage_records enable row level security;
revoke all on public.usage_records from anon, authenticated;
alter function public.ledger_refuse set search_path = public, pg_temp;
alter function public.ledger_balanced set search_path = public, pg_temp;
alter function public.resolve_once set search_path = public, pg_temp;
alter function public.budget_start set search_path = public, pg_temp;
alter function public.budgets_at set search_path = public, pg_temp;
alter function public.budget_tell set search_path = public, pg_temp;
alter function public.budget_put set search_path = public, pg_temp;
alter function public.ledger_reserve set search_path = public, pg_temp;
alter function public.ledger_extend set search_path = public, pg_temp;
alter function public.usage_write set search_path = public, pg_temp;
alter function public.ledger_resolve set search_path = public, pg_temp;
alter function public.ledger_expire set search_path = public, pg_temp;
alter function public.ledger_credit set search_path = public, pg_temp;
revoke execute on function public.ledger_refuse from public, anon, authenticated;
revoke execute on function public.ledger_balanced from public, anon, authenticated;
revoke execute on function public.resolve_once from public, anon, authenticated;
revoke execute on function public.budget_start from public, anon, authenticated;
revoke execute on function public.budgets_at from public, anon, authenticated;
revoke execute on function public.budget_tell from public, anon, authenticated;
revoke execute on function public.budget_put from public, anon, authenticated;
revoke execute on function public.ledger_reserve from public, anon, authenticated;
revoke execute on function public.ledger_extend from public, anon, authenticated;
revoke execute on function public.usage_write from public, anon, authenticated;
revoke execute on function public.ledger_resolve from public, anon, authenticated;
revoke execute on function public.ledger_expire from public, anon, authenticated;
revoke execute on function public.ledger_credit from public, anon, authenticated;

create schema if not exists drizzle;
create table if not exists drizzle.__drizzle_migrations (id serial primary key, hash text not null, created_at bigint);
insert into drizzle.__drizzle_migrations (hash, created_at) values ('47cb5b818a8998e58fdf052d1e2d35160020f0fb7376ee5353d6e809f06e3c1d', 1795293458363);
