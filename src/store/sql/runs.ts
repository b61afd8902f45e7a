import { and, count, desc, eq, getTableColumns, inArray, ne, sql } from 'drizzle-orm'
import type { GivenUp, Orphan, Owner, OwnRuns, Run, RunElsewhere, RunLook, RunStore } from '../port'
import { instances, messages, runs, tenants, users } from '../schema'
import { toUser } from './accounts'
import type { Db } from './db'
import { claim, closing, type GivenUpRow, orLost, silent } from './orphans'

const { tenantId, userId, instanceId, idempotencyKey, request, stopRequestedAt, ...shown } = getTableColumns(runs)

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

  async interruptOrphans(silentSeconds: number, at: Date, own?: OwnRuns): Promise<number> {
    const dead = sql`where r.status = 'running' and (${silent(silentSeconds)} ${own ? orLost(own) : sql``})
      for update of c, r skip locked`
    const result = await this.db.execute<GivenUpRow>(closing(dead, at))
    await this.db.execute(sql`delete from instances where heartbeat_at < now() - interval '1 day'`)
    return result.rows.length
  }

  async claimOrphans(wanted: Parameters<RunStore['claimOrphans']>[0]): Promise<Orphan[]> {
    const { rows } = await this.db.execute<{ id: string }>(claim(wanted))
    if (rows.length === 0) return []
    const claimed = rows.map(({ id }) => id)
    const found = await this.db
      .select({ run: shown, request, user: users, limits: tenants.limits, parentId: messages.parentId })
      .from(runs)
      .innerJoin(users, eq(users.id, userId))
      .innerJoin(tenants, eq(tenants.id, tenantId))
      .innerJoin(messages, eq(messages.id, runs.messageId))
      .where(inArray(runs.id, claimed))
    return found.map(({ run, request, user, limits, parentId }) => {
      return { ...run, parentId, request: request ?? {}, user: toUser(user, limits) }
    })
  }

  async giveUp(id: string, instance: string, at: Date): Promise<GivenUp | undefined> {
    const own = sql`where r.id = ${id} and r.status = 'running' and r.instance_id = ${instance} for update of c, r`
    const [row] = (await this.db.execute<GivenUpRow>(closing(own, at))).rows
    return row && { text: row.text, error: row.error }
  }

  async leave(id: string) {
    await this.db.delete(instances).where(eq(instances.id, id))
  }

  async look(ids: string[]): Promise<RunLook[]> {
    if (ids.length === 0) return []
    const stopRequested = sql<boolean>`${stopRequestedAt} is not null`
    return this.db
      .select({ id: runs.id, status: runs.status, stopRequested, instanceId, continued: runs.continued })
      .from(runs)
      .where(inArray(runs.id, ids))
  }

  async elsewhere(conversationIds: string[], instance: string): Promise<RunElsewhere[]> {
    if (conversationIds.length === 0) return []
    const written = and(inArray(runs.conversationId, conversationIds), eq(runs.status, 'running'))
    const { id, branchId, messageId } = shown
    return this.db
      .select({ id, branchId, messageId, instanceId })
      .from(runs)
      .where(and(written, ne(instanceId, instance)))
  }

  async requestStop(ids: string[], at: Date) {
    if (ids.length === 0) return []
    return this.db
      .update(runs)
      .set({ stopRequestedAt: sql`coalesce(${stopRequestedAt}, ${at.toISOString()}::timestamptz)` })
      .where(and(inArray(runs.id, ids), eq(runs.status, 'running')))
      .returning({ id: runs.id, instanceId })
  }
}
