-- Generated from src/store/migrations by `bun run supabase:migrations`. Do not edit.

-- Credit that a server has set aside for a busy caller is a reservation like any other, without a record of what it is for; answers
-- are reserved out of it.
-- Makes reservations out of one that is open, for the same accounts: what they keep back is kept back already, so no account is
-- touched. What has its id already is left as it is, so that the same again takes nothing more.
--   p_items: [{ id, amount, usage, run_id, expires_at, at }]. Something must be left of the reservation they come from.
--   returns whether they were made: not when that one is resolved, or the database has lost it
CREATE FUNCTION ledger_draw(p_from uuid, p_items jsonb) RETURNS boolean LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
  v_from reservations;
  v_item jsonb;
  v_amount bigint;
  v_drawn bigint := 0;
BEGIN
  -- As in ledger_reserve.
  PERFORM set_config('synchronous_commit', 'off', true);
  SELECT * INTO v_from FROM reservations WHERE id = p_from AND state = 'open' FOR NO KEY UPDATE;
  IF NOT FOUND THEN RETURN false; END IF;
  FOR v_i IN 0 .. jsonb_array_length(p_items) - 1 LOOP
    v_item := p_items->v_i;
    v_amount := v_item->>'amount';
    INSERT INTO reservations (id, tenant_id, account_ids, amount_nanos, state, run_id, usage, expires_at, created_at)
    VALUES ((v_item->>'id')::uuid, v_from.tenant_id, v_from.account_ids, v_amount, 'open', (v_item->>'run_id')::uuid,
      nullif(v_item->'usage', 'null'), (v_item->>'expires_at')::timestamptz, (v_item->>'at')::timestamptz)
    ON CONFLICT (id) DO NOTHING;
    IF FOUND THEN v_drawn := v_drawn + v_amount; END IF;
  END LOOP;
  IF v_drawn > 0 THEN UPDATE reservations SET amount_nanos = amount_nanos - v_drawn WHERE id = p_from; END IF;
  RETURN true;
END $$;

alter function public.ledger_draw set search_path = public, pg_temp;
revoke execute on function public.ledger_draw from public, anon, authenticated;

create schema if not exists drizzle;
create table if not exists drizzle.__drizzle_migrations (id serial primary key, hash text not null, created_at bigint);
insert into drizzle.__drizzle_migrations (hash, created_at) values ('eb55304be97e157986432168f7b8772bdcdedaa7c8375521c563dce03511a5a8', 1795326386705);
