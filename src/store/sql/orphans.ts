import { type SQL, sql } from 'drizzle-orm'
import type { OwnRuns, RunStore } from '../port'

// Statements about runs whose process died. `r` is a run and `c` its conversation, which is locked first, as everywhere.

export type GivenUpRow = { id: string; text: string; error: Record<string, unknown> }

const ERROR = {
  code: 'UPSTREAM_UNAVAILABLE',
  message: 'The server stopped while this answer was being written',
}

/** Its process was not heard of for so long. */
export const silent = (seconds: number): SQL => sql`
  not exists (
    select 1 from instances i where i.id = r.instance_id and i.heartbeat_at > now() - make_interval(secs => ${seconds}))`

/** The answer to the statement that began it did not come through. */
export const orLost = ({ instanceId, making, before }: OwnRuns): SQL => sql`
  or r.instance_id = ${instanceId} and r.created_at < ${before.toISOString()}::timestamptz
    and not ${JSON.stringify(making)}::jsonb ? r.id::text`

/** Finishes these runs as interrupted, with what was kept of them. @param which conditions and locks. */
export const closing = (which: SQL, at: Date): SQL => sql`
  with dead as (
    select r.id from runs r join conversations c on c.id = r.conversation_id ${which}
  ), said as (
    select dead.id, coalesce(string_agg(c.text, '' order by c.seq), '') as text, coalesce(max(c.seq), 1) as seq
    from dead left join run_checkpoints c on c.run_id = dead.id group by dead.id
  ), done as (
    update runs r set status = 'interrupted', last_seq = said.seq + 1, error = ${JSON.stringify(ERROR)}::jsonb,
      finished_at = ${at.toISOString()}::timestamptz, request = null
    from said where r.id = said.id and r.status = 'running'
    returning r.id, r.conversation_id, r.message_id, r.error, said.text
  ), answered as (
    update messages m set content = done.text, status = 'interrupted', completed_at = ${at.toISOString()}::timestamptz
    from done where m.id = done.message_id
  ), touched as (
    update conversations c set updated_at = ${at.toISOString()}::timestamptz
    from done where c.id = done.conversation_id
  ), dropped as (
    delete from run_checkpoints c using done where c.run_id = done.id
  )
  select id, text, error from done`

/**
 * Takes over what can be gone on with. What their processes kept back stays behind, with what they had said, for the sweep that
 * settles what is left of answers nobody keeps: half a minute before it would expire.
 */
export const claim = ({ instanceId, silentSeconds, most }: Parameters<RunStore['claimOrphans']>[0]): SQL => sql`
  with dead as (
    select r.id from runs r join conversations c on c.id = r.conversation_id
    join users u on u.id = r.user_id and u.disabled_at is null
    join tenants t on t.id = r.tenant_id and t.disabled_at is null
    where r.status = 'running' and ${silent(silentSeconds)}
      and r.request is not null and r.continued = 0 and r.stop_requested_at is null
      and (r.request->>'key_id' is null or exists (
        select 1 from api_keys k
        where k.id = (r.request->>'key_id')::uuid and (k.expires_at is null or k.expires_at > now())))
    order by r.id limit ${most} for update of c, r skip locked
  ), mine as (
    update runs r set instance_id = ${instanceId}, continued = r.continued + 1 from dead where r.id = dead.id returning r.id
  ), said as (
    select mine.id, coalesce(string_agg(c.text, '' order by c.seq), '') as text
    from mine left join run_checkpoints c on c.run_id = mine.id group by mine.id
  ), held as (
    select o.id, said.text from reservations o join said on said.id = o.run_id
    where o.state = 'open' order by o.id for update of o skip locked
  ), left_behind as (
    update reservations o set run_id = null, expires_at = now() + interval '30 seconds',
      usage = o.usage || jsonb_build_object('text', held.text)
    from held where o.id = held.id
  )
  select id from mine`
