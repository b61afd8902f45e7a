-- What a Supabase project needs around the server's tables: profiles, who may see which row, and nothing else for anybody.
-- The database's owner and `service_role` are not bound by any of it.

create table public.user_profiles (
  id uuid primary key references auth.users (id) on delete cascade,
  -- The person's own key at the LiteLLM proxy. Its owner may read it: the server does so with the person's token.
  litellm_key text,
  email text,
  name text,
  -- US dollars.
  spend numeric not null default 0,
  max_budget numeric,
  available_balance numeric generated always as (max_budget - spend) stored,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

-- Rows that come by themselves. These functions run as the owner of the tables, so they touch only the row they are about.

create function public.add_profile() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  insert into public.user_profiles (id, email, name) values (new.id, new.email, new.raw_user_meta_data->>'name')
  on conflict (id) do nothing;
  return null;
end $$;
create trigger add_profile after insert on auth.users for each row execute function public.add_profile();

insert into public.user_profiles (id, email, name)
select id, email, raw_user_meta_data->>'name' from auth.users
on conflict (id) do nothing;

create function public.touch_profile() returns trigger language plpgsql set search_path = '' as $$
begin
  new.updated_at := now();
  return new;
end $$;
create trigger touch_profile before update on public.user_profiles for each row execute function public.touch_profile();

-- The server's tables want a user behind a conversation, the same as the server itself would make from the token. Made here
-- rather than at sign-up, it does not matter who was signed up before this migration or whose profile is gone.
create function public.add_conversation_owner() returns trigger language plpgsql security definer set search_path = '' as $$
declare
  v_claims jsonb := auth.jwt();
begin
  if new.user_id = auth.uid() then
    insert into public.users (id, tenant_id, email, name, issuer, subject, created_at, updated_at)
    values (new.user_id, new.tenant_id, v_claims->>'email',
      coalesce(v_claims->'user_metadata'->>'name', split_part(v_claims->>'email', '@', 1), 'User'),
      v_claims->>'iss', v_claims->>'sub', now(), now())
    on conflict do nothing;
  end if;
  return new;
end $$;
create trigger add_conversation_owner before insert on public.conversations
for each row execute function public.add_conversation_owner();

-- With the account goes everything that was said.
create function public.remove_user() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  delete from public.users where id = old.id and password_hash is null;
  return null;
end $$;
create trigger remove_user after delete on auth.users for each row execute function public.remove_user();

-- Row Level Security. The generated migrations enable it on every table of the server and open none. `(select auth.uid())`
-- is asked once a statement, not once a row.

alter table public.user_profiles enable row level security;

create policy "own profile: read" on public.user_profiles for select to authenticated using (id = (select auth.uid()));
create policy "own profile: make" on public.user_profiles for insert to authenticated with check (id = (select auth.uid()));
create policy "own profile: change" on public.user_profiles for update to authenticated
  using (id = (select auth.uid())) with check (id = (select auth.uid()));

create policy "own conversations" on public.conversations for all to authenticated
  using (user_id = (select auth.uid()))
  with check (user_id = (select auth.uid()) and tenant_id = '00000000-0000-0000-0000-000000000001');

create policy "branches of own conversations" on public.branches for all to authenticated
  using (exists (select 1 from public.conversations c where c.id = conversation_id and c.user_id = (select auth.uid())))
  with check (exists (select 1 from public.conversations c where c.id = conversation_id and c.user_id = (select auth.uid())));

-- A parent in another conversation is impossible by foreign key.
create policy "messages of own conversations" on public.messages for all to authenticated
  using (exists (select 1 from public.conversations c where c.id = conversation_id and c.user_id = (select auth.uid())))
  with check (exists (select 1 from public.conversations c where c.id = conversation_id and c.user_id = (select auth.uid())));

-- Privileges. A project gives all of them on whatever appears in `public`, so what is not meant is taken back. Messages are
-- never changed, and go only with their conversation.

revoke all on public.user_profiles from anon, authenticated;
grant select, insert (id, email, name), update (name) on public.user_profiles to authenticated;
grant select, insert, delete on public.conversations to authenticated;
grant update (title, title_source, model, system_prompt, active_leaf_id, rev, updated_at) on public.conversations to authenticated;
grant select, insert, update (name, leaf_id, viewed_at) on public.branches to authenticated;
grant select, insert on public.messages to authenticated;

revoke execute on function public.add_profile, public.touch_profile, public.add_conversation_owner, public.remove_user
  from public, anon, authenticated;
grant execute on function public.append_messages, public.open_branch, public.message_path, public.save_answer, public.search_words
  to authenticated;

-- What later migrations make starts closed.
alter default privileges in schema public revoke all on tables from anon, authenticated;
alter default privileges in schema public revoke all on sequences from anon, authenticated;
alter default privileges in schema public revoke all on functions from anon, authenticated;
