import { and, count, desc, eq, getTableColumns, inArray, sql } from 'drizzle-orm'
import type { Owner, Run, RunStore } from '../port'
import { instances, runs } from '../schema'
import type { Db } from './db'

const { tenantId, userId, instanceId, idempotencyKey, ...shown } = getTableColumns(runs)

const mine = (owner: Owner) => and(eq(userId, owner.userId), eq(tenantId, owner.tenantId))

export async function findRun(
  db: Db,
  owner: Owner,
  by: { id: string } | { idempotencyKey: string },
): Promise<Run | undefined> {
  const wanted = 'id' in by ? eq(runs.id, by.id) : eq(idempotencyKey, by.idempotencyKey)
  const [run] = await db
    .select(shown)
    .from(runs)
    .where(and(mine(owner), wanted))
  return run
}

export class SqlRuns implements RunStore {
  constructor(private readonly db: Db) {}

  find(owner: Owner, id: string) {
    return findRun(this.db, owner, { id })
  }

  async ofMessages(owner: Owner, conversationId: string, messageIds: string[]): Promise<Run[]> {
    if (messageIds.length === 0) return []
    const made = and(eq(runs.conversationId, conversationId), inArray(runs.messageId, messageIds))
    return this.db
      .select(shown)
      .from(runs)
      .where(and(mine(owner), made))
  }

  async list(owner: Owner, { active, page, limit }: { active: boolean; page: number; limit: number }) {
    const where = and(mine(owner), active ? eq(runs.status, 'running') : undefined)
    const [items, [total]] = await Promise.all([
      this.db
        .select(shown)
        .from(runs)
        .where(where)
        .orderBy(desc(runs.id))
        .limit(limit)
        .offset((page - 1) * limit),
      this.db.select({ n: count() }).from(runs).where(where),
    ])
    return { items, total: Number(total?.n) }
  }

  async heartbeat(id: string) {
    await this.db.execute(sql`
      insert into instances (id, heartbeat_at) values (${id}, now())
      on conflict (id) do update set heartbeat_at = now()`)
  }

  async interruptOrphans(silentSeconds: number, at: Date): Promise<number> {
    const error = {
      code: 'UPSTREAM_UNAVAILABLE',
      message: 'The server stopped while this answer was being written',
    }
    const result = await this.db.execute<{ id: string }>(sql`
      with dead as (
        select r.id from runs r join conversations c on c.id = r.conversation_id
        where r.status = 'running' and not exists (
          select 1 from instances i
          where i.id = r.instance_id and i.heartbeat_at > now() - make_interval(secs => ${silentSeconds}))
        for update of c, r skip locked
      ), said as (
        select dead.id, coalesce(string_agg(c.text, '' order by c.seq), '') as text, coalesce(max(c.seq), 1) as seq
        from dead left join run_checkpoints c on c.run_id = dead.id group by dead.id
      ), done as (
        update runs r set status = 'interrupted', last_seq = said.seq + 1, error = ${JSON.stringify(error)}::jsonb,
          finished_at = ${at.toISOString()}::timestamptz
        from said where r.id = said.id and r.status = 'running' returning r.id, r.conversation_id, r.message_id, said.text
      ), answered as (
        update messages m set content = done.text, status = 'interrupted', completed_at = ${at.toISOString()}::timestamptz
        from done where m.id = done.message_id
      ), touched as (
        update conversations c set updated_at = ${at.toISOString()}::timestamptz
        from done where c.id = done.conversation_id
      ), dropped as (
        delete from run_checkpoints c using done where c.run_id = done.id
      )
      select id from done`)
    await this.db.execute(sql`delete from instances where heartbeat_at < now() - interval '1 day'`)
    return result.rows.length
  }

  async leave(id: string) {
    await this.db.delete(instances).where(eq(instances.id, id))
  }
}
