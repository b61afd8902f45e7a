import { and, asc, count, eq, sql } from 'drizzle-orm'
import type { ProviderKey, Tenant, TenantPatch, TenantStore } from '../port-tenants'
import { providerKeys, tenants } from '../schema'
import { type Db, only, orConflict } from './db'
import { keepAnOwner } from './owners'

const { provider, lastFour, createdAt } = providerKeys
const shown = { provider, lastFour, createdAt }

const toTenant = (row: typeof tenants.$inferSelect): Tenant => ({ ...row, updatedAt: row.updatedAt ?? row.createdAt })

const unlessTaken = <T>(write: Promise<T>) =>
  orConflict(write, 'tenants_slug_unique', 'There is a tenant with this slug already')

export class SqlTenants implements TenantStore {
  constructor(private readonly db: Db) {}

  async list({ page, limit }: { page: number; limit: number }) {
    const [rows, [counted]] = await Promise.all([
      this.db
        .select()
        .from(tenants)
        .orderBy(asc(tenants.createdAt), asc(tenants.id))
        .limit(limit)
        .offset((page - 1) * limit),
      this.db.select({ n: count() }).from(tenants),
    ])
    return { items: rows.map(toTenant), total: Number(counted?.n) }
  }

  async find(id: string) {
    const [row] = await this.db.select().from(tenants).where(eq(tenants.id, id))
    return row && toTenant(row)
  }

  async findBySlug(slug: string) {
    const [row] = await this.db.select().from(tenants).where(eq(tenants.slug, slug))
    return row && toTenant(row)
  }

  async create({ at, ...tenant }: Parameters<TenantStore['create']>[0]) {
    const insert = this.db.insert(tenants).values({ ...tenant, createdAt: at, updatedAt: at })
    return toTenant(only(await unlessTaken(insert.returning())))
  }

  update(id: string, patch: TenantPatch, at: Date) {
    return this.db.transaction(async (tx) => {
      if (patch.disabledAt) await keepAnOwner(tx, ({ tenantId }) => tenantId === id)
      const update = tx
        .update(tenants)
        .set({ ...patch, updatedAt: at })
        .where(eq(tenants.id, id))
      const [row] = await unlessTaken(update.returning())
      return row && toTenant(row)
    })
  }

  keys(tenantId: string): Promise<ProviderKey[]> {
    return this.db.select(shown).from(providerKeys).where(eq(providerKeys.tenantId, tenantId)).orderBy(asc(provider))
  }

  async setKey(tenantId: string, key: ProviderKey & { sealed: string }) {
    const { sealed, lastFour, createdAt } = key
    await this.db
      .insert(providerKeys)
      .values({ tenantId, ...key })
      .onConflictDoUpdate({
        target: [providerKeys.tenantId, providerKeys.provider],
        set: { sealed, lastFour, createdAt: sql`${createdAt.toISOString()}` },
      })
  }

  async removeKey(tenantId: string, name: string) {
    const rows = await this.db
      .delete(providerKeys)
      .where(and(eq(providerKeys.tenantId, tenantId), eq(provider, name)))
      .returning({ provider })
    return rows.length > 0
  }

  sealedKeys(tenantId: string) {
    const { sealed } = providerKeys
    return this.db.select({ provider, sealed }).from(providerKeys).where(eq(providerKeys.tenantId, tenantId))
  }
}
