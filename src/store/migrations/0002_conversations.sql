CREATE EXTENSION IF NOT EXISTS pg_trgm;
--> statement-breakpoint
-- The words of a text in English and Russian, and whose they are: with the owner among the words, one index answers
-- "this person's messages that say so". What follows the first 100,000 characters is not searched (a tsvector holds 1 MB).
CREATE FUNCTION search_words(p_user uuid, p_text text) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT array_to_tsvector(ARRAY['u:' || coalesce(p_user::text, '')]) || to_tsvector('pg_catalog.english'::regconfig, left(p_text, 100000))
    || to_tsvector('pg_catalog.russian'::regconfig, left(p_text, 100000))
$$;
--> statement-breakpoint
CREATE TABLE "deletions" (
	"user_id" uuid NOT NULL,
	"kind" text NOT NULL,
	"id" uuid NOT NULL,
	"conversation_id" uuid NOT NULL,
	"at" timestamp (3) with time zone NOT NULL,
	"changed" "xid8" DEFAULT pg_current_xact_id() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "feedback" (
	"id" uuid PRIMARY KEY NOT NULL,
	"tenant_id" uuid NOT NULL,
	"user_id" uuid NOT NULL,
	"conversation_id" uuid NOT NULL,
	"message_id" uuid NOT NULL,
	"kind" text,
	"rating" integer,
	"tags" text[] DEFAULT '{}' NOT NULL,
	"comment" text,
	"metadata" jsonb,
	"snapshot" jsonb NOT NULL,
	"model" text,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "feedback_one_each" UNIQUE("user_id","message_id")
);
--> statement-breakpoint
ALTER TABLE "branches" ADD COLUMN "parent_message_id" uuid;--> statement-breakpoint
ALTER TABLE "conversations" ADD COLUMN "settings" jsonb;--> statement-breakpoint
ALTER TABLE "conversations" ADD COLUMN "metadata" jsonb;--> statement-breakpoint
ALTER TABLE "conversations" ADD COLUMN "tags" text[] DEFAULT '{}' NOT NULL;--> statement-breakpoint
ALTER TABLE "conversations" ADD COLUMN "pinned_at" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "conversations" ADD COLUMN "archived_at" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "conversations" ADD COLUMN "changed" "xid8" DEFAULT pg_current_xact_id() NOT NULL;--> statement-breakpoint
ALTER TABLE "conversations" ADD COLUMN "search" "tsvector" GENERATED ALWAYS AS (search_words(user_id, title)) STORED;--> statement-breakpoint
ALTER TABLE "messages" ADD COLUMN "user_id" uuid;--> statement-breakpoint
UPDATE "messages" m SET "user_id" = c."user_id" FROM "conversations" c WHERE c."id" = m."conversation_id";--> statement-breakpoint
ALTER TABLE "messages" ALTER COLUMN "user_id" SET NOT NULL;--> statement-breakpoint
ALTER TABLE "messages" ADD COLUMN "branch_id" uuid;--> statement-breakpoint
ALTER TABLE "messages" ADD COLUMN "metadata" jsonb;--> statement-breakpoint
ALTER TABLE "messages" ADD COLUMN "changed" "xid8" DEFAULT pg_current_xact_id() NOT NULL;--> statement-breakpoint
ALTER TABLE "messages" ADD COLUMN "search" "tsvector" GENERATED ALWAYS AS (search_words(user_id, content)) STORED;--> statement-breakpoint
ALTER TABLE "users" ADD COLUMN "role" text DEFAULT 'user' NOT NULL;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "provider" text;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "first_token_ms" integer;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "latency_ms" integer;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "trace_id" text;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "span_id" text;--> statement-breakpoint
ALTER TABLE "deletions" ADD CONSTRAINT "deletions_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "feedback" ADD CONSTRAINT "feedback_tenant_id_tenants_id_fk" FOREIGN KEY ("tenant_id") REFERENCES "public"."tenants"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "feedback" ADD CONSTRAINT "feedback_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "feedback" ADD CONSTRAINT "feedback_message" FOREIGN KEY ("conversation_id","message_id") REFERENCES "public"."messages"("conversation_id","id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "deletions_changed" ON "deletions" USING btree ("user_id","changed");--> statement-breakpoint
CREATE INDEX "feedback_by_model" ON "feedback" USING btree ("tenant_id","model","created_at");--> statement-breakpoint
CREATE INDEX "feedback_message" ON "feedback" USING btree ("conversation_id","message_id");--> statement-breakpoint
CREATE INDEX "conversations_shown" ON "conversations" USING btree ("user_id","tenant_id",("pinned_at" is not null) desc,"updated_at" desc,"id" desc) WHERE "conversations"."archived_at" is null;--> statement-breakpoint
CREATE INDEX "conversations_changed" ON "conversations" USING btree ("user_id","changed");--> statement-breakpoint
CREATE INDEX "conversations_search" ON "conversations" USING gin ("search");--> statement-breakpoint
CREATE INDEX "messages_search" ON "messages" USING gin ("search");
--> statement-breakpoint
-- Whoever writes a row, its owner and the transaction are true. Readers of changes compare the transaction with their snapshot:
-- unlike a time or a counter it cannot overtake one that commits later.
CREATE FUNCTION stamp_conversation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.changed := pg_current_xact_id();
  RETURN NEW;
END $$;
--> statement-breakpoint
CREATE TRIGGER stamp_conversation BEFORE UPDATE ON conversations FOR EACH ROW EXECUTE FUNCTION stamp_conversation();
--> statement-breakpoint
CREATE FUNCTION stamp_message() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.changed := pg_current_xact_id();
  SELECT user_id INTO NEW.user_id FROM conversations WHERE id = NEW.conversation_id;
  RETURN NEW;
END $$;
--> statement-breakpoint
CREATE TRIGGER stamp_message BEFORE INSERT OR UPDATE ON messages FOR EACH ROW EXECUTE FUNCTION stamp_message();
--> statement-breakpoint
-- Writes messages below their parent: locks (or makes) the conversation, advances the branch that ended at the parent or
-- opens a new one, and moves the active leaf to the last message, or to the parent when there is none.
--   p_turn: { conversation: { id, title?, system_prompt? (new) | parent_id? (existing; absent = active leaf), title? (for one that
--             is empty, and that nobody has named) }, is_new,
--             messages: [{ id, role, content, extra }], answer_id? (an empty answer below them), branch_id, branch_name,
--             model, default_model, max_context, at }
--   returns { outcome: 'begun' | 'not_found' | 'busy', conversation_id, branch_id, model, system_prompt, settings, context, depth }
-- The context is the path down to the parent, oldest first; the depth is that of the answer. Without an answer a call may be
-- repeated: the same first message (without messages the same branch) changes nothing and returns the same. Raises
-- unique_violation when the new conversation's id is taken.
CREATE FUNCTION append_messages(p_tenant uuid, p_user uuid, p_turn jsonb) RETURNS json LANGUAGE plpgsql AS $$
DECLARE
  v_at timestamptz := p_turn->>'at';
  v_new boolean := coalesce((p_turn->>'is_new')::boolean, false);
  v_target jsonb := p_turn->'conversation';
  v_nodes jsonb := p_turn->'messages';
  v_answer uuid := p_turn->>'answer_id';
  v_last uuid := coalesce(v_answer, (v_nodes->-1->>'id')::uuid);
  v_conversation conversations;
  v_model text := coalesce(p_turn->>'model', p_turn->>'default_model');
  v_parent_id uuid;
  v_above uuid;
  v_depth int := 0;
  v_status text;
  v_branch uuid;
  v_forks boolean;
  v_repeats boolean := false;
  v_context json := '[]';
  v_node jsonb;
BEGIN
  IF v_new THEN
    INSERT INTO conversations (id, tenant_id, user_id, title, title_source, model, system_prompt, active_leaf_id, rev, created_at, updated_at)
    VALUES ((v_target->>'id')::uuid, p_tenant, p_user, v_target->>'title', 'auto', v_model, v_target->>'system_prompt', v_last, 1, v_at, v_at)
    ON CONFLICT (id) DO NOTHING
    RETURNING * INTO v_conversation;
  END IF;

  IF v_conversation.id IS NULL THEN
    SELECT * INTO v_conversation FROM conversations
    WHERE id = (v_target->>'id')::uuid AND user_id = p_user AND tenant_id = p_tenant FOR UPDATE;
    IF NOT FOUND AND NOT v_new THEN RETURN '{"outcome": "not_found"}'; END IF;
    v_model := coalesce(p_turn->>'model', v_conversation.model, p_turn->>'default_model');

    IF v_answer IS NULL THEN
      IF v_last IS NULL THEN
        SELECT parent_message_id, id INTO v_parent_id, v_branch FROM branches
        WHERE conversation_id = v_conversation.id AND id = (p_turn->>'branch_id')::uuid;
      ELSE
        SELECT parent_id, branch_id INTO v_parent_id, v_branch FROM messages
        WHERE conversation_id = v_conversation.id AND id = (v_nodes->0->>'id')::uuid;
      END IF;
      v_repeats := FOUND;
    END IF;
    IF v_repeats THEN
      RETURN json_build_object('outcome', 'begun', 'conversation_id', v_conversation.id, 'branch_id', v_branch, 'model', v_model,
        'system_prompt', v_conversation.system_prompt, 'settings', v_conversation.settings,
        'context', message_path(v_conversation.id, v_parent_id, (p_turn->>'max_context')::int),
        'depth', coalesce((SELECT depth + 1 FROM messages WHERE id = coalesce(v_last, v_parent_id)), 0));
    ELSIF v_new THEN
      RAISE unique_violation USING MESSAGE = 'the conversation exists already', CONSTRAINT = 'conversations_pkey';
    END IF;

    v_parent_id := CASE WHEN v_target ? 'parent_id' THEN (v_target->>'parent_id')::uuid ELSE v_conversation.active_leaf_id END;
    IF v_parent_id IS NULL THEN
      -- The branch of a conversation that was made empty.
      SELECT id INTO v_branch FROM branches WHERE conversation_id = v_conversation.id AND leaf_id IS NULL LIMIT 1;
    ELSE
      SELECT m.status, m.depth + 1, b.id INTO v_status, v_depth, v_branch
      FROM messages m LEFT JOIN branches b ON b.conversation_id = m.conversation_id AND b.leaf_id = m.id
      WHERE m.conversation_id = v_conversation.id AND m.id = v_parent_id;
      IF NOT FOUND THEN RETURN '{"outcome": "not_found"}'; END IF;
      IF v_status = 'streaming' THEN RETURN '{"outcome": "busy"}'; END IF;
      v_context := message_path(v_conversation.id, v_parent_id, (p_turn->>'max_context')::int);
    END IF;
    -- To open a branch where one ends already, and is shown, is to do nothing.
    IF v_last IS NOT NULL OR v_branch IS NULL
      OR (v_conversation.active_leaf_id, v_conversation.model) IS DISTINCT FROM (v_parent_id, v_model) THEN
      UPDATE conversations SET active_leaf_id = coalesce(v_last, v_parent_id), rev = rev + 1, updated_at = v_at, model = v_model,
        title = CASE WHEN v_conversation.active_leaf_id IS NULL AND v_conversation.title_source = 'auto'
          THEN coalesce(v_target->>'title', title) ELSE title END
      WHERE id = v_conversation.id;
    END IF;
  END IF;

  v_forks := v_branch IS NULL;
  IF v_forks THEN v_branch := (p_turn->>'branch_id')::uuid; END IF;
  v_above := v_parent_id;
  FOR v_node IN SELECT value FROM jsonb_array_elements(v_nodes) LOOP
    INSERT INTO messages (id, conversation_id, parent_id, branch_id, depth, role, content, extra, status, created_at, completed_at)
    VALUES ((v_node->>'id')::uuid, v_conversation.id, v_above, v_branch, v_depth, v_node->>'role', v_node->>'content',
      nullif(v_node->'extra', 'null'), 'complete', v_at, v_at);
    v_above := (v_node->>'id')::uuid;
    v_depth := v_depth + 1;
  END LOOP;
  IF v_answer IS NOT NULL THEN
    INSERT INTO messages (id, conversation_id, parent_id, branch_id, depth, role, content, status, model, created_at)
    VALUES (v_answer, v_conversation.id, v_above, v_branch, v_depth, 'assistant', '', 'streaming', v_model, v_at);
  END IF;
  IF v_forks THEN
    PERFORM open_branch(v_conversation.id, v_branch, p_turn->>'branch_name', v_parent_id, coalesce(v_last, v_parent_id), v_at);
  ELSIF v_last IS NOT NULL THEN
    UPDATE branches SET leaf_id = v_last, viewed_at = v_at WHERE id = v_branch;
  END IF;

  RETURN json_build_object('outcome', 'begun', 'conversation_id', v_conversation.id, 'branch_id', v_branch, 'model', v_model,
    'system_prompt', v_conversation.system_prompt, 'settings', v_conversation.settings, 'context', v_context, 'depth', v_depth);
END $$;
--> statement-breakpoint
-- A branch that forked off at p_parent and ends at p_leaf, with the next free name unless it has one.
CREATE FUNCTION open_branch(p_conversation uuid, p_id uuid, p_name text, p_parent uuid, p_leaf uuid, p_at timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO branches (id, conversation_id, name, parent_message_id, leaf_id, created_at, viewed_at)
  SELECT p_id, p_conversation, coalesce(p_name, CASE WHEN count(*) = 0 THEN 'Main'
    ELSE 'Branch ' || greatest(count(*), max(substring(name FROM '^Branch (\d{1,9})$')::bigint)) + 1 END), p_parent, p_leaf, p_at, p_at
  FROM branches WHERE conversation_id = p_conversation;
END $$;
--> statement-breakpoint
-- Begins a turn: the messages, the empty answer below them, and its run.
--   p_turn: what append_messages takes, and { answer_id, run_id, instance_id, idempotency_key, fingerprint, trace_id, span_id }
--   returns what append_messages returns. Raises unique_violation for a repeated idempotency key.
CREATE OR REPLACE FUNCTION begin_turn(p_tenant uuid, p_user uuid, p_turn jsonb) RETURNS json LANGUAGE plpgsql AS $$
DECLARE
  v_begun json := append_messages(p_tenant, p_user, p_turn);
BEGIN
  -- By its first letters: to ask for a field would read the whole context.
  IF starts_with(v_begun::text, '{"outcome" : "begun"') THEN
    INSERT INTO runs (id, tenant_id, user_id, conversation_id, message_id, branch_id, status, model, instance_id, idempotency_key,
      fingerprint, trace_id, span_id, last_seq, created_at)
    SELECT (p_turn->>'run_id')::uuid, p_tenant, p_user, conversation_id, id, branch_id, 'running', model,
      (p_turn->>'instance_id')::uuid, p_turn->>'idempotency_key', p_turn->>'fingerprint', p_turn->>'trace_id', p_turn->>'span_id',
      0, created_at
    FROM messages WHERE id = (p_turn->>'answer_id')::uuid;
  END IF;
  RETURN v_begun;
END $$;
--> statement-breakpoint
-- Saves an answer that was made elsewhere below its parent. The shown path follows only when it still ends at the parent.
--   p_answer: { conversation_id, message_id, parent_id (null = a root), branch_id, content, extra, status, model, finish_reason,
--               usage, cost_nanos, created_at, completed_at }
--   returns { outcome: 'saved' | 'not_found', message_id, branch_id }; branch_id is the branch that ends at the answer, and not
--   the given one when that has gone on elsewhere. Saving the same message twice changes nothing.
CREATE FUNCTION save_answer(p_user uuid, p_answer jsonb) RETURNS json LANGUAGE plpgsql AS $$
DECLARE
  v_id uuid := p_answer->>'message_id';
  v_conversation uuid := p_answer->>'conversation_id';
  v_parent_id uuid := p_answer->>'parent_id';
  v_at timestamptz := coalesce(p_answer->>'completed_at', p_answer->>'created_at');
  v_depth int := 0;
  v_branch uuid;
  v_forks boolean;
BEGIN
  PERFORM 1 FROM conversations WHERE id = v_conversation AND user_id = p_user FOR UPDATE;
  IF NOT FOUND THEN RETURN '{"outcome": "not_found"}'; END IF;
  SELECT branch_id INTO v_branch FROM messages WHERE conversation_id = v_conversation AND id = v_id;
  IF FOUND THEN RETURN json_build_object('outcome', 'saved', 'message_id', v_id, 'branch_id', v_branch); END IF;

  IF v_parent_id IS NULL THEN
    SELECT id INTO v_branch FROM branches WHERE conversation_id = v_conversation AND leaf_id IS NULL LIMIT 1;
  ELSE
    SELECT m.depth + 1, b.id INTO v_depth, v_branch
    FROM messages m LEFT JOIN branches b ON b.conversation_id = m.conversation_id AND b.leaf_id = m.id
    WHERE m.conversation_id = v_conversation AND m.id = v_parent_id;
    IF NOT FOUND THEN RETURN '{"outcome": "not_found"}'; END IF;
  END IF;
  v_forks := v_branch IS NULL;
  IF v_forks THEN
    v_branch := (p_answer->>'branch_id')::uuid;
    IF v_branch IS NULL OR EXISTS (SELECT 1 FROM branches WHERE id = v_branch) THEN v_branch := gen_random_uuid(); END IF;
  END IF;

  INSERT INTO messages (id, conversation_id, parent_id, branch_id, depth, role, content, extra, status, model, finish_reason, usage,
    cost_nanos, created_at, completed_at)
  VALUES (v_id, v_conversation, v_parent_id, v_branch, v_depth, 'assistant', p_answer->>'content', nullif(p_answer->'extra', 'null'),
    p_answer->>'status', p_answer->>'model', p_answer->>'finish_reason', nullif(p_answer->'usage', 'null'),
    (p_answer->>'cost_nanos')::bigint, (p_answer->>'created_at')::timestamptz, (p_answer->>'completed_at')::timestamptz);
  IF v_forks THEN
    PERFORM open_branch(v_conversation, v_branch, NULL, v_parent_id, v_id, v_at);
  ELSE
    UPDATE branches SET leaf_id = v_id, viewed_at = v_at WHERE id = v_branch;
  END IF;
  UPDATE conversations SET updated_at = v_at,
    active_leaf_id = CASE WHEN active_leaf_id IS NOT DISTINCT FROM v_parent_id THEN v_id ELSE active_leaf_id END
  WHERE id = v_conversation;
  RETURN json_build_object('outcome', 'saved', 'message_id', v_id, 'branch_id', v_branch);
END $$;
--> statement-breakpoint
-- Ends a run: final text, usage, cost, status, how long it took. Ending it twice changes nothing.
--   p_turn: { run_id, status, last_seq, error, provider, first_token_ms, latency_ms, at,
--             answer: { content, extra, status, finish_reason, usage, cost_nanos } }
CREATE OR REPLACE FUNCTION finish_turn(p_turn jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_at timestamptz := p_turn->>'at';
  v_answer jsonb := p_turn->'answer';
  v_run runs;
BEGIN
  -- The conversation first, like everything that locks more than one row of it: else this and a deletion wait for each other.
  PERFORM 1 FROM conversations c JOIN runs r ON r.conversation_id = c.id WHERE r.id = (p_turn->>'run_id')::uuid FOR UPDATE OF c;
  UPDATE runs SET status = p_turn->>'status', last_seq = (p_turn->>'last_seq')::int, error = nullif(p_turn->'error', 'null'),
    provider = p_turn->>'provider', first_token_ms = (p_turn->>'first_token_ms')::int, latency_ms = (p_turn->>'latency_ms')::int,
    finished_at = v_at
  WHERE id = (p_turn->>'run_id')::uuid AND status = 'running'
  RETURNING * INTO v_run;
  IF NOT FOUND THEN RETURN; END IF;
  UPDATE messages SET content = v_answer->>'content', extra = nullif(v_answer->'extra', 'null'), status = v_answer->>'status',
    finish_reason = v_answer->>'finish_reason', usage = nullif(v_answer->'usage', 'null'),
    cost_nanos = (v_answer->>'cost_nanos')::bigint, completed_at = v_at
  WHERE id = v_run.message_id;
  DELETE FROM run_checkpoints WHERE run_id = v_run.id;
  UPDATE conversations SET updated_at = v_at WHERE id = v_run.conversation_id;
END $$;
