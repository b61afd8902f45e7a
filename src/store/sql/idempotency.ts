import { and, eq, sql } from 'drizzle-orm'
import { storableJson } from '../../lib/text'
import type { Claimed, IdempotencyStore, KeptAnswer, KeyClaim, Owner } from '../port'
import { idempotencyKeys, instances } from '../schema'
import type { Db } from './db'

type Found = Record<string, unknown> & {
  state: 'claimed' | 'running' | 'lost' | 'done'
  fingerprint: string
  status: number
  headers: Record<string, string>
  body: Uint8Array
}

export class SqlIdempotency implements IdempotencyStore {
  constructor(private readonly db: Db) {}

  async claim(owner: Owner, claim: KeyClaim, silentSeconds: number): Promise<Claimed> {
    const at = sql`${claim.at.toISOString()}::timestamptz`
    const dead = sql`k.state = 'running' and not exists (
      select 1 from ${instances} i
      where i.id = k.instance_id and i.heartbeat_at > now() - make_interval(secs => ${silentSeconds}))`
    // The row as it was before: whoever took it over meanwhile is not seen, so only what nobody takes over can be lost.
    const state = sql`case when ${claim.once ?? false} and ${dead} then 'lost' else k.state end`
    const { rows } = await this.db.execute<Found>(sql`
      with claimed as (
        insert into ${idempotencyKeys} as k
          (tenant_id, user_id, key, operation, fingerprint, instance_id, state, created_at, expires_at)
        values (${owner.tenantId}, ${owner.userId}, ${claim.key}, ${claim.operation}, ${claim.fingerprint},
          ${claim.instanceId}, 'running', ${at}, ${claim.expiresAt.toISOString()}::timestamptz)
        on conflict (tenant_id, user_id, key) do update set
          operation = excluded.operation, fingerprint = excluded.fingerprint, instance_id = excluded.instance_id,
          state = 'running', status = null, headers = null, body = null,
          created_at = excluded.created_at, expires_at = excluded.expires_at
        where k.expires_at <= excluded.created_at
          or (${!claim.once} and k.fingerprint = excluded.fingerprint and ${dead})
        returning key
      )
      select 'claimed' as state, null as fingerprint, null::int as status, null::jsonb as headers, null::bytea as body
      from claimed
      union all
      select ${state}, fingerprint, status, headers, body from ${idempotencyKeys} k
      where tenant_id = ${owner.tenantId} and user_id = ${owner.userId} and key = ${claim.key}
        and expires_at > ${at} and not exists (select 1 from claimed)`)
    return toClaimed(rows[0], claim)
  }

  async complete(owner: Owner, claim: KeyClaim, { status, headers, body }: KeptAnswer) {
    await this.db.execute(sql`
      update ${idempotencyKeys} set state = 'done', status = ${status}, headers = ${storableJson(headers)}::jsonb,
        body = ${Buffer.from(body)}
      where ${running(owner, claim)}`)
  }

  async release(owner: Owner, claim: KeyClaim) {
    await this.db.delete(idempotencyKeys).where(running(owner, claim))
  }

  async prune(now: Date, limit: number): Promise<number> {
    const { rows } = await this.db.execute(sql`
      delete from ${idempotencyKeys} where ctid in (
        select ctid from ${idempotencyKeys} where expires_at <= ${now.toISOString()}::timestamptz
        order by expires_at limit ${limit} for update skip locked)
      returning 1`)
    return rows.length
  }
}

/** This very claim, as long as nobody took it over. */
const running = (owner: Owner, { key, instanceId, at }: KeyClaim) =>
  and(
    eq(idempotencyKeys.tenantId, owner.tenantId),
    eq(idempotencyKeys.userId, owner.userId),
    eq(idempotencyKeys.key, key),
    eq(idempotencyKeys.instanceId, instanceId),
    eq(idempotencyKeys.createdAt, at),
    eq(idempotencyKeys.state, 'running'),
  )

function toClaimed(found: Found | undefined, { fingerprint }: KeyClaim): Claimed {
  // Neither taken nor seen: somebody took it after this statement began.
  if (!found) return { outcome: 'running' }
  if (found.state === 'claimed') return { outcome: 'claimed' }
  if (found.fingerprint !== fingerprint) return { outcome: 'other' }
  if (found.state !== 'done') return { outcome: found.state }
  const { status, headers, body } = found
  return { outcome: 'done', answer: { status, headers, body: new Uint8Array(body) } }
}
