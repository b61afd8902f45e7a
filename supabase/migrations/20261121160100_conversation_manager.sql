-- The calls of the Edge Function `conversation-manager`. Each runs as the caller, so Row Level Security decides what exists for
-- it. They fail as PostgREST's functions do, with SQLSTATE PTnnn for HTTP status nnn, a message that may be shown, and the
-- answer's data, if any, in the detail.

-- The door, for the owner of the database only: one call as this person, in one statement. A statement is a transaction, so
-- role and claims end with it.
create function public.conversation_manager(p_claims jsonb, p_call text, p_args jsonb) returns json
language plpgsql set search_path = public, pg_temp as $$
begin
  perform set_config('request.jwt.claims', p_claims::text, true), set_config('timezone', 'UTC', true),
    set_config('role', 'authenticated', true);
  return case p_call
    when 'init_conversation' then cm_init_conversation(p_args)
    when 'add_message' then cm_add_message(p_args)
    when 'save_response' then cm_save_response(p_args)
    when 'create_branch' then cm_create_branch(p_args)
    when 'switch_branch' then cm_switch_branch(p_args)
    when 'build_context' then cm_build_context(p_args)
    when 'conversations' then cm_conversations(p_args)
    when 'conversation' then conversation_json(cm_conversation(p_args->>'conversation_id'))
    when 'full_conversation' then cm_full_conversation(p_args)
    when 'change_conversation' then cm_change_conversation(p_args)
    when 'branches' then cm_branches(p_args)
    when 'message' then message_json(cm_message(p_args->>'message_id'))
    when 'edit_message' then cm_edit_message(p_args)
    when 'regenerate' then cm_regenerate(p_args)
    else cm_refuse(404, 'Unknown call')
  end;
end $$;

create function public.cm_refuse(p_status int, p_message text, p_data json default null) returns json
language plpgsql set search_path = public, pg_temp as $$
begin
  raise exception using errcode = 'PT' || p_status, message = p_message, detail = coalesce(p_data::text, '');
end $$;

-- Rows as the contract shows them; what is ours comes after what is documented.

create function public.conversation_json(c public.conversations) returns json
language sql stable set search_path = public, pg_temp as $$
  select json_build_object('id', c.id, 'user_id', c.user_id, 'title', c.title,
    'active_branch_id', (select b.id from branches b
      where b.conversation_id = c.id and b.leaf_id is not distinct from c.active_leaf_id order by b.created_at, b.id limit 1),
    'model', c.model, 'created_at', c.created_at, 'updated_at', c.updated_at,
    'title_source', c.title_source, 'system_prompt', c.system_prompt, 'active_leaf_id', c.active_leaf_id, 'rev', c.rev)
$$;

create function public.branch_json(b public.branches) returns json
language sql stable set search_path = public, pg_temp as $$
  select json_build_object('id', b.id, 'conversation_id', b.conversation_id, 'parent_message_id', b.parent_message_id,
    'name', b.name, 'created_at', b.created_at, 'leaf_id', b.leaf_id, 'viewed_at', b.viewed_at)
$$;

create function public.message_json(m public.messages) returns json
language sql stable set search_path = public, pg_temp as $$
  select json_build_object('id', m.id, 'conversation_id', m.conversation_id, 'branch_id', m.branch_id, 'parent_id', m.parent_id,
    'role', m.role, 'content', m.content, 'model', m.model, 'tokens_count', m.usage->'completion_tokens', 'created_at', m.created_at,
    'depth', m.depth, 'extra', m.extra, 'status', m.status, 'finish_reason', m.finish_reason, 'usage', m.usage,
    'cost_nanos', m.cost_nanos::text, 'completed_at', m.completed_at)
$$;

-- One row of the caller's.

create function public.cm_conversation(p_id text) returns public.conversations
language plpgsql stable set search_path = public, pg_temp as $$
declare
  v_row conversations;
begin
  select * into v_row from conversations where id = p_id::uuid and user_id = auth.uid();
  if not found then perform cm_refuse(404, 'Conversation not found'); end if;
  return v_row;
end $$;

create function public.cm_branch(p_conversation text, p_id text) returns public.branches
language plpgsql stable set search_path = public, pg_temp as $$
declare
  v_row branches;
begin
  select * into v_row from branches where id = p_id::uuid and conversation_id = p_conversation::uuid;
  if not found then perform cm_refuse(404, 'Branch not found'); end if;
  return v_row;
end $$;

create function public.cm_message(p_id text) returns public.messages
language plpgsql stable set search_path = public, pg_temp as $$
declare
  v_row messages;
begin
  select * into v_row from messages where id = p_id::uuid;
  if not found then perform cm_refuse(404, 'Message not found'); end if;
  return v_row;
end $$;

-- Reading.

create function public.cm_conversations(p_args jsonb) returns json
language plpgsql stable set search_path = public, pg_temp as $$
declare
  v_page int := p_args->>'page';
  v_limit int := p_args->>'limit';
begin
  return json_build_object(
    'conversations', (select coalesce(json_agg(conversation_json(c) order by c.updated_at desc, c.id desc), '[]') from (
      select * from conversations where user_id = auth.uid()
      order by updated_at desc, id desc limit v_limit offset (v_page::bigint - 1) * v_limit) c),
    'total', (select count(*) from conversations where user_id = auth.uid()),
    'page', v_page, 'limit', v_limit);
end $$;

create function public.cm_full_conversation(p_args jsonb) returns json
language plpgsql stable set search_path = public, pg_temp as $$
declare
  v_conversation conversations := cm_conversation(p_args->>'conversation_id');
begin
  return json_build_object(
    'conversation', conversation_json(v_conversation),
    'branches', cm_branches(p_args),
    'messages', (select coalesce(json_agg(message_json(m) order by m.created_at, m.depth, m.id), '[]') from messages m
      where m.conversation_id = v_conversation.id));
end $$;

create function public.cm_branches(p_args jsonb) returns json
language plpgsql stable set search_path = public, pg_temp as $$
declare
  v_conversation conversations := cm_conversation(p_args->>'conversation_id');
begin
  return (select coalesce(json_agg(branch_json(b) order by b.created_at, b.id), '[]') from branches b
    where b.conversation_id = v_conversation.id);
end $$;

create function public.cm_build_context(p_args jsonb) returns json
language plpgsql stable set search_path = public, pg_temp as $$
declare
  v_conversation conversations := cm_conversation(p_args->>'conversation_id');
  v_leaf uuid := v_conversation.active_leaf_id;
begin
  if p_args->>'branch_id' is not null then
    v_leaf := (cm_branch(p_args->>'conversation_id', p_args->>'branch_id')).leaf_id;
  end if;
  return (
    with said as (
      select 0 as n, 'system' as role, v_conversation.system_prompt as content where v_conversation.system_prompt is not null
      union all
      select n, m->>'role', m->>'content'
      from json_array_elements(message_path(v_conversation.id, v_leaf, (p_args->>'max_messages')::int)) with ordinality as path(m, n)
    )
    select json_build_object('conversation_id', v_conversation.id,
      'messages', coalesce(json_agg(json_build_object('role', role, 'content', content) order by n), '[]'),
      'model', v_conversation.model)
    from said);
end $$;

-- Writing. Ids and times come with the call.

create function public.cm_append(p_turn jsonb) returns json
language plpgsql set search_path = public, pg_temp as $$
declare
  -- An answer that is being written belongs to a run of the server, which does not come this way.
  v_turn json := append_messages('00000000-0000-0000-0000-000000000001', auth.uid(), p_turn - 'answer_id');
begin
  if v_turn->>'outcome' = 'not_found' then perform cm_refuse(404, 'Conversation or message not found'); end if;
  if v_turn->>'outcome' = 'busy' then
    perform cm_refuse(409, 'The answer to continue from is still being written', json_build_object('turn', v_turn));
  end if;
  return v_turn;
end $$;

create function public.cm_init_conversation(p_args jsonb) returns json
language plpgsql set search_path = public, pg_temp as $$
declare
  v_turn json := cm_append(p_args->'turn');
begin
  return json_build_object('conversation_id', v_turn->'conversation_id', 'branch_id', v_turn->'branch_id',
    'title', p_args->'turn'->'conversation'->'title', 'model', v_turn->'model');
end $$;

-- `legacy`: the caller knows nothing of turns.
create function public.cm_add_message(p_args jsonb) returns json
language plpgsql set search_path = public, pg_temp as $$
declare
  v_turn json := cm_append(p_args->'turn');
  v_message messages := cm_message(p_args->'turn'->'messages'->-1->>'id');
  v_new jsonb := p_args->'turn'->'is_new';
begin
  if p_args ? 'legacy' then
    return json_build_object('message_id', v_message.id, 'conversation_id', v_message.conversation_id,
      'branch_id', v_message.branch_id, 'parent_id', v_message.parent_id, 'is_new_conversation', v_new);
  end if;
  return json_build_object('message_id', v_message.id, 'conversation_id', v_message.conversation_id,
    'branch_id', v_message.branch_id, 'parent_id', v_message.parent_id, 'is_new_conversation', v_new, 'turn', v_turn);
end $$;

create function public.cm_create_branch(p_args jsonb) returns json
language plpgsql set search_path = public, pg_temp as $$
declare
  v_turn json := cm_append(p_args->'turn');
  v_branch branches := cm_branch(v_turn->>'conversation_id', v_turn->>'branch_id');
begin
  if p_args ? 'legacy' then
    return jsonb_build_object('branch_id', v_branch.id) || branch_json(v_branch)::jsonb;
  end if;
  return json_build_object('branch_id', v_branch.id, 'conversation_id', v_branch.conversation_id,
    'parent_message_id', v_branch.parent_message_id, 'turn', v_turn);
end $$;

create function public.cm_regenerate(p_args jsonb) returns json
language plpgsql set search_path = public, pg_temp as $$
declare
  v_message messages := cm_message(p_args->>'message_id');
begin
  if v_message.role <> 'assistant' then perform cm_refuse(400, 'Only answers can be regenerated'); end if;
  return cm_create_branch(jsonb_set(p_args, '{turn,conversation}',
    jsonb_build_object('id', v_message.conversation_id, 'parent_id', v_message.parent_id)));
end $$;

-- A message never changes: an edited one is another beside it.
create function public.cm_edit_message(p_args jsonb) returns json
language plpgsql set search_path = public, pg_temp as $$
declare
  v_message messages := cm_message(p_args->>'message_id');
begin
  if v_message.role <> 'user' then perform cm_refuse(400, 'Only messages of the user can be edited'); end if;
  perform cm_append(jsonb_set(p_args->'turn', '{conversation}',
    jsonb_build_object('id', v_message.conversation_id, 'parent_id', v_message.parent_id)));
  return message_json(cm_message(p_args->'turn'->'messages'->0->>'id'));
end $$;

create function public.cm_save_response(p_args jsonb) returns json
language plpgsql set search_path = public, pg_temp as $$
declare
  v_answer jsonb := p_args->'answer';
  v_legacy boolean := p_args ? 'legacy';
  v_conversation conversations := cm_conversation(v_answer->>'conversation_id');
  v_message messages;
begin
  if v_legacy and v_answer->>'parent_id' is null then
    v_answer := jsonb_set(v_answer, '{parent_id}', coalesce(to_jsonb(v_conversation.active_leaf_id), 'null'));
  end if;
  if save_answer(auth.uid(), v_answer)->>'outcome' = 'not_found' then perform cm_refuse(404, 'Parent message not found'); end if;
  v_message := cm_message(v_answer->>'message_id');
  if v_legacy then
    update conversations set title = left(trim(v_message.content), 50)
    where id = v_conversation.id and title = 'New conversation' and title_source = 'auto' and trim(v_message.content) <> ''
      and (select count(*) from messages m where m.conversation_id = v_conversation.id and m.role = 'assistant') = 1;
  end if;
  return json_build_object('message_id', v_message.id, 'tokens_count', v_message.usage->'completion_tokens',
    'branch_id', v_message.branch_id);
end $$;

create function public.cm_switch_branch(p_args jsonb) returns json
language plpgsql set search_path = public, pg_temp as $$
declare
  v_conversation conversations := cm_conversation(p_args->>'conversation_id');
  v_branch branches;
begin
  -- The lock first: where the branch ends may change until then.
  perform 1 from conversations where id = v_conversation.id for update;
  v_branch := cm_branch(p_args->>'conversation_id', p_args->>'branch_id');
  update branches set viewed_at = (p_args->>'at')::timestamptz where id = v_branch.id;
  update conversations set active_leaf_id = v_branch.leaf_id, rev = rev + 1
  where id = v_conversation.id and active_leaf_id is distinct from v_branch.leaf_id;
  return json_build_object('conversation_id', v_branch.conversation_id, 'branch_id', v_branch.id, 'active_leaf_id', v_branch.leaf_id);
end $$;

create function public.cm_change_conversation(p_args jsonb) returns json
language plpgsql set search_path = public, pg_temp as $$
declare
  v_patch jsonb := p_args->'patch';
  v_changed conversations;
begin
  update conversations set
    title = coalesce(v_patch->>'title', title),
    title_source = case when v_patch ? 'title' then 'user' else title_source end,
    model = case when v_patch ? 'model' then v_patch->>'model' else model end,
    system_prompt = case when v_patch ? 'system_prompt' then v_patch->>'system_prompt' else system_prompt end,
    rev = rev + 1,
    updated_at = (p_args->>'at')::timestamptz
  where id = (p_args->>'conversation_id')::uuid and user_id = auth.uid()
    and (p_args->>'rev' is null or rev = (p_args->>'rev')::bigint)
  returning * into v_changed;
  if not found then
    perform cm_refuse(409, 'The conversation has changed meanwhile', conversation_json(cm_conversation(p_args->>'conversation_id')));
  end if;
  return conversation_json(v_changed);
end $$;

-- All of it runs as whoever calls it, and the person may call all but the door.
revoke execute on function public.conversation_manager, public.cm_refuse, public.conversation_json, public.branch_json,
  public.message_json, public.cm_conversation, public.cm_branch, public.cm_message, public.cm_conversations,
  public.cm_full_conversation, public.cm_branches, public.cm_build_context, public.cm_append, public.cm_init_conversation,
  public.cm_add_message, public.cm_create_branch, public.cm_regenerate, public.cm_edit_message, public.cm_save_response,
  public.cm_switch_branch, public.cm_change_conversation from public, anon, authenticated;
grant execute on function public.cm_refuse, public.conversation_json, public.branch_json,
  public.message_json, public.cm_conversation, public.cm_branch, public.cm_message, public.cm_conversations,
  public.cm_full_conversation, public.cm_branches, public.cm_build_context, public.cm_append, public.cm_init_conversation,
  public.cm_add_message, public.cm_create_branch, public.cm_regenerate, public.cm_edit_message, public.cm_save_response,
  public.cm_switch_branch, public.cm_change_conversation to authenticated;
