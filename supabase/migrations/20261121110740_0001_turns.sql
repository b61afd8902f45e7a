-- Generated from src/store/migrations by `bun run supabase:migrations`. Do not edit.

-- The rules of the tree, where every writer of these tables shares them. One call is one transaction and one round trip,
-- and each statement in a function sees what others committed while it waited for a lock.

-- Begins a turn: locks (or makes) the conversation, writes the messages below their parent, the empty answer and its run,
-- advances the branch that ended at the parent or opens a new one, and moves the active leaf.
--   p_turn: { conversation: { id, title?, system_prompt? (new) | parent_id? (existing; absent = active leaf) }, is_new,
--             messages: [{ id, role, content, extra }], answer_id, run_id, branch_id, branch_name, instance_id,
--             model, default_model, idempotency_key, fingerprint, max_context, at }
--   returns { outcome: 'begun' | 'not_found' | 'busy', conversation_id, branch_id, model, system_prompt, context }
-- The context is the path down to the parent, oldest first. Raises unique_violation for a repeated idempotency key.
CREATE FUNCTION begin_turn(p_tenant uuid, p_user uuid, p_turn jsonb) RETURNS json LANGUAGE plpgsql AS $$
DECLARE
  v_at timestamptz := p_turn->>'at';
  v_answer uuid := p_turn->>'answer_id';
  v_target jsonb := p_turn->'conversation';
  v_conversation conversations;
  v_parent messages;
  v_parent_id uuid;
  v_above uuid;
  v_depth int := 0;
  v_model text;
  v_branch uuid;
  v_context json := '[]';
  v_node jsonb;
BEGIN
  IF (p_turn->>'is_new')::boolean THEN
    v_model := coalesce(p_turn->>'model', p_turn->>'default_model');
    INSERT INTO conversations (id, tenant_id, user_id, title, title_source, model, system_prompt, active_leaf_id, rev, created_at, updated_at)
    VALUES ((v_target->>'id')::uuid, p_tenant, p_user, v_target->>'title', 'auto', v_model, v_target->>'system_prompt', v_answer, 1, v_at, v_at)
    RETURNING * INTO v_conversation;
  ELSE
    SELECT * INTO v_conversation FROM conversations
    WHERE id = (v_target->>'id')::uuid AND user_id = p_user AND tenant_id = p_tenant FOR UPDATE;
    IF NOT FOUND THEN RETURN '{"outcome": "not_found"}'; END IF;
    v_model := coalesce(p_turn->>'model', v_conversation.model, p_turn->>'default_model');
    v_parent_id := CASE WHEN v_target ? 'parent_id' THEN (v_target->>'parent_id')::uuid ELSE v_conversation.active_leaf_id END;
    IF v_parent_id IS NOT NULL THEN
      SELECT * INTO v_parent FROM messages WHERE conversation_id = v_conversation.id AND id = v_parent_id;
      IF NOT FOUND THEN RETURN '{"outcome": "not_found"}'; END IF;
      IF v_parent.status = 'streaming' THEN RETURN '{"outcome": "busy"}'; END IF;
      v_depth := v_parent.depth + 1;
      v_context := message_path(v_conversation.id, v_parent_id, (p_turn->>'max_context')::int);
    END IF;
    UPDATE conversations SET active_leaf_id = v_answer, rev = rev + 1, updated_at = v_at, model = v_model
    WHERE id = v_conversation.id;
  END IF;

  v_above := v_parent_id;
  FOR v_node IN SELECT value FROM jsonb_array_elements(p_turn->'messages') LOOP
    INSERT INTO messages (id, conversation_id, parent_id, depth, role, content, extra, status, created_at, completed_at)
    VALUES ((v_node->>'id')::uuid, v_conversation.id, v_above, v_depth, v_node->>'role', v_node->>'content',
      nullif(v_node->'extra', 'null'), 'complete', v_at, v_at);
    v_above := (v_node->>'id')::uuid;
    v_depth := v_depth + 1;
  END LOOP;
  INSERT INTO messages (id, conversation_id, parent_id, depth, role, content, status, model, created_at)
  VALUES (v_answer, v_conversation.id, v_above, v_depth, 'assistant', '', 'streaming', v_model, v_at);

  UPDATE branches SET leaf_id = v_answer, viewed_at = v_at
  WHERE conversation_id = v_conversation.id AND leaf_id = v_parent_id
  RETURNING id INTO v_branch;
  IF v_branch IS NULL THEN
    v_branch := (p_turn->>'branch_id')::uuid;
    INSERT INTO branches (id, conversation_id, name, leaf_id, created_at, viewed_at)
    SELECT v_branch, v_conversation.id,
      coalesce(p_turn->>'branch_name', CASE WHEN count(*) = 0 THEN 'Main' ELSE 'Branch ' || count(*) + 1 END), v_answer, v_at, v_at
    FROM branches WHERE conversation_id = v_conversation.id;
  END IF;

  INSERT INTO runs (id, tenant_id, user_id, conversation_id, message_id, branch_id, status, model, instance_id, idempotency_key,
    fingerprint, last_seq, created_at)
  VALUES ((p_turn->>'run_id')::uuid, p_tenant, p_user, v_conversation.id, v_answer, v_branch, 'running', v_model,
    (p_turn->>'instance_id')::uuid, p_turn->>'idempotency_key', p_turn->>'fingerprint', 0, v_at);

  RETURN json_build_object('outcome', 'begun', 'conversation_id', v_conversation.id, 'branch_id', v_branch, 'model', v_model,
    'system_prompt', v_conversation.system_prompt, 'context', v_context);
END $$;
--> statement-breakpoint
-- The last p_limit messages on the way from the root down to p_leaf, oldest first: [{ role, content, extra }].
-- In plpgsql because that keeps its plan from call to call; LIMIT 1 keeps each step an index look-up, where a join would be
-- planned as a scan of the whole conversation.
CREATE FUNCTION message_path(p_conversation uuid, p_leaf uuid, p_limit int) RETURNS json LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN (
    WITH RECURSIVE path AS (
      SELECT parent_id, role, content, extra, 1 AS n FROM messages WHERE conversation_id = p_conversation AND id = p_leaf
      UNION ALL
      SELECT m.parent_id, m.role, m.content, m.extra, path.n + 1
      FROM path CROSS JOIN LATERAL (
        SELECT * FROM messages WHERE id = path.parent_id LIMIT 1) m -- by primary key: a parent is in the same conversation
      WHERE path.n < p_limit
    )
    SELECT coalesce(json_agg(json_build_object('role', role, 'content', content, 'extra', extra) ORDER BY n DESC), '[]') FROM path
  );
END $$;
--> statement-breakpoint
-- Ends a run: final text, usage, cost, status. Ending it twice changes nothing.
--   p_turn: { run_id, status, last_seq, error, at, answer: { content, extra, status, finish_reason, usage, cost_nanos } }
CREATE FUNCTION finish_turn(p_turn jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_at timestamptz := p_turn->>'at';
  v_answer jsonb := p_turn->'answer';
  v_run runs;
BEGIN
  -- The conversation first, like everything that locks more than one row of it: else this and a deletion wait for each other.
  PERFORM 1 FROM conversations c JOIN runs r ON r.conversation_id = c.id WHERE r.id = (p_turn->>'run_id')::uuid FOR UPDATE OF c;
  UPDATE runs SET status = p_turn->>'status', last_seq = (p_turn->>'last_seq')::int, error = nullif(p_turn->'error', 'null'),
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

alter function public.begin_turn set search_path = public, pg_temp;
alter function public.message_path set search_path = public, pg_temp;
alter function public.finish_turn set search_path = public, pg_temp;
revoke execute on function public.begin_turn from public, anon, authenticated;
revoke execute on function public.message_path from public, anon, authenticated;
revoke execute on function public.finish_turn from public, anon, authenticated;

create schema if not exists drizzle;
create table if not exists drizzle.__drizzle_migrations (id serial primary key, hash text not null, created_at bigint);
insert into drizzle.__drizzle_migrations (hash, created_at) values ('6089d0c2f845803d96b08312196aad2f2e473f42bb682692128da4c4e115f47d', 1795259260330);
