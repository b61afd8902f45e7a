-- Generated from src/store/migrations by `bun run supabase:migrations`. Do not edit.

-- The books do what they did, with half as many statements: each costs more than all that is reckoned between two of them. What
-- comes in is read item by item where it is needed, and budgets are left out where there are none.
-- Keeps money back, item by item in the order given. One that is refused does not touch the others.
--   p_items: [{ id, accounts: [id], optional: [id], amount, unpriced, usage, run_id, expires_at, at }]
--   returns as many: { outcome: 'reserved' | 'insufficient' | 'no_account' | 'unpriced' | 'taken', limited, available,
--     budget: { id, period, kind } where that is what refuses }
-- Reserving the same again changes nothing and says 'reserved'. 'taken': the id stands for something else, or is resolved.
-- An account that is not limited has four billion dollars to reserve: enough to refuse nothing, and too little to overflow.
-- A hard budget refuses what would go beyond it; the first time in its period an event says so.
CREATE OR REPLACE FUNCTION ledger_reserve(p_items jsonb) RETURNS json LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
  v_last int := jsonb_array_length(p_items) - 1;
  v_wanted uuid[] := '{}';
  v_named uuid[] := '{}';
  v_now timestamptz;
  -- What stands for an id already, before this call or by it.
  v_rows reservations[];
  v_row_ids uuid[];
  v_row reservations;
  v_new reservations[] := '{}';
  v_account record;
  -- Of each account.
  v_ids uuid[] := '{}';
  v_tenants uuid[] := '{}';
  v_kinds text[] := '{}';
  v_limits boolean[] := '{}';
  v_free bigint[] := '{}';
  v_taken bigint[] := '{}';
  -- Of each account with hard budgets: the one with the least left, and how much that was before this call. What is reserved
  -- from an account is reserved from all of its budgets, so it keeps the least.
  v_tight uuid[] := '{}';
  v_periods text[] := '{}';
  v_left bigint[] := '{}';
  v_budget budgets;
  v_budgeted boolean;
  v_refusing uuid[] := '{}';
  v_told record;
  v_item jsonb;
  v_given jsonb;
  v_required int;
  v_id uuid;
  v_amount bigint;
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
  v_outcome := set_config('synchronous_commit', 'off', true);
  FOR v_i IN 0 .. v_last LOOP
    v_item := p_items->v_i;
    v_named := v_named || (v_item->>'id')::uuid;
    v_now := greatest(v_now, (v_item->>'at')::timestamptz);
    v_given := (v_item->'accounts') || coalesce(v_item->'optional', '[]');
    FOR v_j IN 0 .. jsonb_array_length(v_given) - 1 LOOP
      v_wanted := v_wanted || (v_given->>v_j)::uuid;
    END LOOP;
  END LOOP;
  FOR v_account IN
    SELECT id, tenant_id, kind, limited, balance_nanos - reserved_nanos + CASE WHEN limited THEN 0 ELSE 4000000000000000000 END AS free
    FROM accounts WHERE id = ANY (v_wanted) AND kind <> 'system' ORDER BY id FOR NO KEY UPDATE
  LOOP
    v_ids := v_ids || v_account.id;
    v_tenants := v_tenants || v_account.tenant_id;
    v_kinds := v_kinds || v_account.kind;
    v_limits := v_limits || v_account.limited;
    v_free := v_free || v_account.free;
    v_taken := v_taken || 0::bigint;
  END LOOP;
  SELECT array(SELECT r FROM reservations r WHERE id = ANY (v_named) ORDER BY id),
    array(SELECT id FROM reservations WHERE id = ANY (v_named) ORDER BY id),
    EXISTS (SELECT FROM budgets WHERE account_id = ANY (v_ids))
  INTO v_rows, v_row_ids, v_budgeted;
  IF v_budgeted THEN
    FOR v_budget IN SELECT * FROM budgets_at(v_ids, v_now) WHERE hard LOOP
      v_place := array_position(v_ids, v_budget.account_id);
      v_least := v_budget.limit_nanos - v_budget.spent_nanos - v_budget.reserved_nanos;
      IF coalesce(v_least < v_left[v_place], true) THEN
        v_left[v_place] := v_least;
        v_tight[v_place] := v_budget.id;
        v_periods[v_place] := v_budget.period;
      END IF;
    END LOOP;
  END IF;

  FOR v_i IN 0 .. v_last LOOP
    v_item := p_items->v_i;
    v_id := v_item->>'id';
    v_amount := v_item->>'amount';
    v_required := jsonb_array_length(v_item->'accounts');
    v_given := (v_item->'accounts') || coalesce(v_item->'optional', '[]');
    v_places := '{}';
    v_tenant := NULL;
    v_known := true;
    v_limited := false;
    v_least := NULL;
    v_tightest := NULL;
    FOR v_j IN 0 .. jsonb_array_length(v_given) - 1 LOOP
      v_place := array_position(v_ids, (v_given->>v_j)::uuid);
      IF v_place IS NULL THEN
        v_known := v_known AND v_j >= v_required;
      ELSIF v_place <> ALL (v_places) THEN
        v_places := v_places || v_place;
        v_tenant := coalesce(v_tenant, v_tenants[v_place]);
        v_known := v_known AND v_tenants[v_place] = v_tenant;
        v_limited := v_limited OR v_limits[v_place] OR v_tight[v_place] IS NOT NULL;
        v_least := least(v_least, v_free[v_place]);
      END IF;
    END LOOP;
    IF v_budgeted THEN
      FOREACH v_place IN ARRAY v_places LOOP
        IF v_left[v_place] - v_taken[v_place] < v_least THEN
          v_least := v_left[v_place] - v_taken[v_place];
          v_tightest := v_place;
        END IF;
      END LOOP;
    END IF;

    v_place := array_position(v_row_ids, v_id);
    IF v_place IS NOT NULL THEN
      v_row := v_rows[v_place];
      -- An account that is charged where it exists may have been made since.
      v_outcome := CASE WHEN (v_row.state, v_row.amount_nanos) = ('open', v_amount)
        AND v_row.account_ids @> array(SELECT a::uuid FROM jsonb_array_elements_text(v_item->'accounts') a)
        AND v_row.account_ids <@ array(SELECT a::uuid FROM jsonb_array_elements_text(v_given) a) THEN 'reserved' ELSE 'taken' END;
    ELSIF v_tenant IS NULL OR NOT v_known THEN
      v_outcome := 'no_account';
    ELSIF v_limited AND (v_item->>'unpriced')::boolean THEN
      v_outcome := 'unpriced';
    ELSIF v_least < v_amount THEN
      v_outcome := 'insufficient';
      IF v_tightest IS NOT NULL THEN v_refusing := v_refusing || v_tight[v_tightest]; END IF;
    ELSE
      v_outcome := 'reserved';
      v_row := NULL;
      v_row.id := v_id;
      v_row.tenant_id := v_tenant;
      v_row.amount_nanos := v_amount;
      v_row.state := 'open';
      v_row.run_id := v_item->>'run_id';
      v_row.usage := nullif(v_item->'usage', 'null');
      v_row.expires_at := v_item->>'expires_at';
      v_row.created_at := v_item->>'at';
      v_row.account_ids := '{}';
      FOREACH v_place IN ARRAY v_places LOOP
        v_row.account_ids := v_row.account_ids || v_ids[v_place];
        v_free[v_place] := v_free[v_place] - v_amount;
        v_taken[v_place] := v_taken[v_place] + v_amount;
      END LOOP;
      v_row_ids := v_row_ids || v_id;
      v_rows := v_rows || v_row;
      v_new := v_new || v_row;
    END IF;
    v_answers := v_answers || json_build_object('outcome', v_outcome, 'limited', v_limited, 'available', greatest(v_least, 0)::text,
      'budget', CASE WHEN v_tightest IS NOT NULL THEN json_build_object('id', v_tight[v_tightest], 'period', v_periods[v_tightest],
        'kind', v_kinds[v_tightest]) END);
  END LOOP;

  IF cardinality(v_new) > 0 THEN
    INSERT INTO reservations SELECT * FROM unnest(v_new);
    UPDATE accounts a SET reserved_nanos = a.reserved_nanos + t.taken
    FROM unnest(v_ids, v_taken) AS t(id, taken) WHERE a.id = t.id AND t.taken > 0;
  END IF;
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
CREATE OR REPLACE FUNCTION ledger_resolve(p_items jsonb) RETURNS json LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
  v_last int := jsonb_array_length(p_items) - 1;
  v_named uuid[] := '{}';
  v_wanted uuid[] := '{}';
  -- Whose other side is needed.
  v_tenants uuid[] := '{}';
  v_settles boolean := false;
  v_now timestamptz;
  v_rows reservations[] := '{}';
  v_row_ids uuid[] := '{}';
  v_row reservations;
  v_resolved reservations[] := '{}';
  v_entries ledger_entries[] := '{}';
  v_entry ledger_entries;
  v_usage jsonb[] := '{}';
  v_events jsonb[] := '{}';
  v_account record;
  -- Of each account.
  v_ids uuid[] := '{}';
  v_free bigint[] := '{}';
  v_balances bigint[] := '{}';
  v_released bigint[] := '{}';
  v_charged bigint[] := '{}';
  -- The person, of a limited account of theirs.
  v_people uuid[] := '{}';
  -- The accounts that are the other side of their tenants' transactions, and where each is.
  v_sides uuid[] := '{}';
  v_side_places int[] := '{}';
  v_side int;
  v_item jsonb;
  v_at timestamptz;
  v_amount bigint;
  v_known jsonb;
  v_places int[];
  v_place int;
  v_nth int;
  v_charge bigint;
  v_told record;
  v_answers json[] := '{}';
BEGIN
  FOR v_i IN 0 .. v_last LOOP
    v_item := p_items->v_i;
    v_named := v_named || (v_item->>'id')::uuid;
    v_settles := v_settles OR v_item->>'state' = 'settled';
    v_now := greatest(v_now, (v_item->>'at')::timestamptz);
  END LOOP;
  FOR v_row IN SELECT * FROM reservations WHERE id = ANY (v_named) ORDER BY id FOR UPDATE LOOP
    v_row_ids := v_row_ids || v_row.id;
    v_rows := v_rows || v_row;
    IF v_row.state = 'open' THEN
      v_wanted := v_wanted || v_row.account_ids;
      IF v_settles AND v_row.tenant_id <> ALL (v_tenants) THEN v_tenants := v_tenants || v_row.tenant_id; END IF;
    END IF;
  END LOOP;
  IF cardinality(v_wanted) > 0 THEN
    FOR v_account IN
      SELECT id, tenant_id, kind, balance_nanos, CASE WHEN kind = 'user' AND limited THEN owner_id END AS person,
        balance_nanos - reserved_nanos + CASE WHEN limited THEN 0 ELSE 4000000000000000000 END AS free
      FROM accounts
      WHERE id = ANY (v_wanted || array(SELECT s.id FROM accounts s WHERE s.tenant_id = ANY (v_tenants) AND s.kind = 'system'))
      ORDER BY id FOR NO KEY UPDATE
    LOOP
      v_ids := v_ids || v_account.id;
      v_free := v_free || v_account.free;
      v_balances := v_balances || v_account.balance_nanos;
      v_people := v_people || v_account.person;
      v_released := v_released || 0::bigint;
      v_charged := v_charged || 0::bigint;
      IF v_account.kind = 'system' THEN
        v_sides := v_sides || v_account.tenant_id;
        v_side_places := v_side_places || cardinality(v_ids);
      END IF;
    END LOOP;
  END IF;

  FOR v_i IN 0 .. v_last LOOP
    v_item := p_items->v_i;
    v_nth := array_position(v_row_ids, (v_item->>'id')::uuid);
    IF v_nth IS NULL THEN
      v_answers := v_answers || 'null'::json;
      CONTINUE;
    END IF;
    v_row := v_rows[v_nth];
    IF v_row.state = 'open' THEN
      v_row.state := v_item->>'state';
      v_at := v_item->>'at';
      v_row.resolved_at := v_at;
      v_amount := CASE v_row.state WHEN 'settled' THEN (v_item->>'amount')::bigint ELSE 0 END;
      v_charge := v_amount;
      v_places := '{}';
      FOR v_j IN 1 .. cardinality(v_row.account_ids) LOOP
        v_place := array_position(v_ids, v_row.account_ids[v_j]);
        v_places := v_places || v_place;
        v_charge := least(v_charge, v_row.amount_nanos + greatest(v_free[v_place], 0));
      END LOOP;
      FOREACH v_place IN ARRAY v_places LOOP
        v_free[v_place] := v_free[v_place] + v_row.amount_nanos - v_charge;
        v_released[v_place] := v_released[v_place] + v_row.amount_nanos;
        v_charged[v_place] := v_charged[v_place] + v_charge;
      END LOOP;
      IF v_charge > 0 THEN
        v_side := v_side_places[array_position(v_sides, v_row.tenant_id)];
        v_entry.transaction_id := v_row.id;
        v_entry.tenant_id := v_row.tenant_id;
        v_entry.created_at := v_at;
        FOREACH v_place IN ARRAY v_places || v_side LOOP
          v_entry.account_id := v_ids[v_place];
          v_entry.amount_nanos := CASE v_place WHEN v_side THEN v_charge * cardinality(v_places) ELSE -v_charge END;
          v_balances[v_place] := v_balances[v_place] + v_entry.amount_nanos;
          v_entry.balance_nanos := v_balances[v_place];
          v_entries := v_entries || v_entry;
          IF v_people[v_place] IS NOT NULL AND v_balances[v_place] < (v_item->>'low_at')::bigint
            AND v_balances[v_place] + v_charge >= (v_item->>'low_at')::bigint THEN
            v_events := v_events || jsonb_build_object('id', gen_random_uuid(), 'tenant_id', v_row.tenant_id,
              'user_id', v_people[v_place], 'type', 'balance.low', 'created_at', v_at, 'data', jsonb_build_object(
                'account_id', v_ids[v_place], 'reservation_id', v_row.id, 'balance_nanos', v_balances[v_place]::text,
                'threshold_nanos', v_item->>'low_at'));
          END IF;
        END LOOP;
      END IF;
      IF v_row.state = 'settled' THEN
        v_row.settled_nanos := v_charge;
        v_row.uncollected_nanos := v_amount - v_charge;
        v_known := nullif(v_item->'usage', 'null');
        IF v_known IS NOT NULL THEN
          v_usage := v_usage || (v_known || jsonb_build_object('id', v_row.id, 'charge_nanos', v_charge));
        END IF;
      ELSIF v_row.state = 'expired' AND v_row.usage IS NOT NULL THEN
        v_usage := v_usage || (v_row.usage || jsonb_build_object('id', v_row.id, 'status', 'expired', 'completion_tokens', 0,
          'cached_tokens', 0, 'reasoning_tokens', 0, 'charge_nanos', 0, 'saved_nanos', 0, 'cost_basis', 'estimated',
          'completed_at', v_at));
      END IF;
      v_known := nullif(v_item->'event', 'null');
      IF v_known IS NOT NULL THEN
        IF v_known->'data' ? 'charge_nanos' THEN
          v_known := jsonb_set(v_known, '{data,charge_nanos}', to_jsonb(v_charge::text));
        END IF;
        v_events := v_events || v_known;
      END IF;
      v_rows[v_nth] := v_row;
      v_resolved := v_resolved || v_row;
    END IF;
    v_answers := v_answers || json_build_object('state', v_row.state, 'settled', v_row.settled_nanos::text,
      'uncollected', v_row.uncollected_nanos::text);
  END LOOP;
  IF cardinality(v_resolved) = 0 THEN RETURN array_to_json(v_answers); END IF;

  IF cardinality(v_entries) > 0 THEN
    INSERT INTO ledger_entries (transaction_id, tenant_id, account_id, kind, amount_nanos, balance_nanos, reservation_id, created_at)
    SELECT transaction_id, tenant_id, account_id, 'charge', amount_nanos, balance_nanos, transaction_id, created_at FROM unnest(v_entries);
  END IF;
  UPDATE reservations r SET state = n.state, resolved_at = n.resolved_at, settled_nanos = n.settled_nanos,
    uncollected_nanos = n.uncollected_nanos
  FROM unnest(v_resolved) n WHERE r.id = n.id;
  UPDATE accounts a SET balance_nanos = t.balance, reserved_nanos = a.reserved_nanos - t.released
  FROM unnest(v_ids, v_balances, v_released) AS t(id, balance, released)
  WHERE a.id = t.id AND (a.balance_nanos <> t.balance OR t.released <> 0);
  IF EXISTS (SELECT FROM budgets WHERE account_id = ANY (v_ids)) THEN
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
  END IF;
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
-- or a settlement, is at just now is left to it. The clock of a server that is ahead of the database's expires nothing early.
--   returns how many
CREATE OR REPLACE FUNCTION ledger_expire(p_now timestamptz, p_limit int) RETURNS int LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
  v_now timestamptz := least(p_now, now());
  v_overdue jsonb;
BEGIN
  SELECT jsonb_agg(jsonb_build_object('id', id, 'state', 'expired', 'at', v_now)) INTO v_overdue FROM (
    SELECT id FROM reservations WHERE state = 'open' AND expires_at < v_now
    ORDER BY expires_at LIMIT p_limit FOR UPDATE SKIP LOCKED
  ) overdue;
  IF v_overdue IS NULL THEN RETURN 0; END IF;
  RETURN json_array_length(ledger_resolve(v_overdue));
END $$;

alter function public.ledger_reserve set search_path = public, pg_temp;
alter function public.ledger_resolve set search_path = public, pg_temp;
alter function public.ledger_expire set search_path = public, pg_temp;

create schema if not exists drizzle;
create table if not exists drizzle.__drizzle_migrations (id serial primary key, hash text not null, created_at bigint);
insert into drizzle.__drizzle_migrations (hash, created_at) values ('fb3e5f484e4e60cb3ec3818e3065d99dca0e53a8002890af0b9d8311b34197b5', 1795302913516);
