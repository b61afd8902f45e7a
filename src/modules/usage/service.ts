import { type Period, periodOf, refuseOtherZones } from '../../lib/period'
import { tenantOf } from '../../lib/scope'
import type { Owner, Store, User } from '../../store/port'
import type { UsageFilter, UsageTotals } from '../../store/port-money'
import { FILES, type UsageFile } from './files'
import {
  type AdminUsageQuery,
  type ExportQuery,
  GROUP_NAMES,
  type GroupBy,
  type Reader,
  totalsJson,
  type UsageQuery,
  usualGroups,
} from './model'

/** Records that are read at once: what an export holds in memory. */
const PAGE = 1000

export interface UsageDeps {
  store: Pick<Store, 'usage' | 'people'>
  now: () => Date
  /** Faults in the middle of a file, when the status is out: they are logged. */
  onFault: (message: string, error: unknown) => void
}

type Asked = Pick<UsageQuery, 'from' | 'to' | 'time_zone'>

/** What answers took within a time, and each group of them: `key` is the day, or whatever the groups are made by. */
export interface Sums {
  period: Period
  totals: UsageTotals
  groups: (UsageTotals & { key: string | null })[]
}

/** What answers took, added up. */
export class Usage {
  constructor(private readonly deps: UsageDeps) {}

  /** A person's own. */
  async of(owner: Owner, query: UsageQuery) {
    const sums = await this.sums(owner, query)
    return reportJson(sums, { group: query.group_by ?? 'day', reader: 'person' })
  }

  /** The same for other features, before it is put into words. */
  async sums(owner: Owner, { group_by = 'day', limit = usualGroups, ...asked }: UsageQuery): Promise<Sums> {
    const period = await this.period(owner, asked)
    const filter = { tenantId: owner.tenantId, userId: owner.userId, from: period.from, to: period.to }
    return this.grouped(filter, { period, group: group_by, limit })
  }

  /** A tenant's. For administrators: the caller has made sure of that. */
  async ofTenant(user: User, { group_by = 'day', limit = usualGroups, ...asked }: AdminUsageQuery) {
    const { period, filter } = await this.filtered(user, asked)
    const sums = await this.grouped(filter, { period, group: group_by, limit })
    return reportJson(sums, { group: group_by, reader: 'administrator' })
  }

  /** Every single answer, as a file that is written while it is read. For administrators likewise. */
  async export(user: User, { format = 'csv', ...asked }: ExportQuery): Promise<UsageFile> {
    const { filter } = await this.filtered(user, asked)
    // Before the status is out: what cannot be read at all has one of its own.
    const first = await this.deps.store.usage.records(filter, { after: null, limit: PAGE })
    const { contentType, head, line } = FILES[format]
    const name = `usage-${this.deps.now().toISOString().slice(0, 10)}.${format}`
    return { name, contentType, pieces: this.pieces(filter, first, { head, line }) }
  }

  private async *pieces(
    filter: UsageFilter,
    first: Awaited<ReturnType<Store['usage']['records']>>,
    { head, line }: Pick<(typeof FILES)['csv'], 'head' | 'line'>,
  ): AsyncGenerator<Uint8Array> {
    try {
      let page = first
      yield Buffer.from(head + page.items.map(line).join(''))
      while (page.next !== null) {
        page = await this.deps.store.usage.records(filter, { after: page.next, limit: PAGE })
        if (page.items.length > 0) yield Buffer.from(page.items.map(line).join(''))
      }
    } catch (error) {
      this.deps.onFault('An export of usage broke off', error)
      throw error
    }
  }

  private async filtered(user: User, { tenant_id, user_id, key_id, model, ...asked }: Omit<ExportQuery, 'format'>) {
    // All tenants are asked for as another tenant is: with the right of the owner only.
    const one = tenantOf(user, tenant_id)
    const period = await this.period(user, asked)
    const filter: UsageFilter = {
      tenantId: one === 'all' ? undefined : one,
      userId: user_id,
      keyId: key_id,
      model,
      from: period.from,
      to: period.to,
    }
    return { period, filter }
  }

  private async period(owner: Owner, { from, to, time_zone }: Asked): Promise<Period> {
    if (time_zone !== undefined) refuseOtherZones(time_zone)
    const { tenantId, userId } = owner
    const timeZone = time_zone ?? (await this.deps.store.people.find(tenantId, userId))?.timeZone ?? 'UTC'
    return periodOf({ from, to }, { timeZone, now: this.deps.now() })
  }

  private async grouped(
    filter: UsageFilter,
    { period, group, limit }: { period: Period; group: GroupBy; limit: number },
  ): Promise<Sums> {
    const { usage } = this.deps.store
    if (group === 'day') {
      const days = await usage.byDay(filter, period.timeZone)
      // Of the same rows, so that they cannot differ.
      return { period, totals: added(days), groups: days.map(({ day, ...sums }) => ({ key: day, ...sums })) }
    }
    const by = usage.by(filter, { group, limit })
    if (group === 'conversation' || group === 'user') {
      const [totals, groups] = await Promise.all([usage.totals(filter), by])
      return { period, totals, groups }
    }
    // There are few of them: all are here, and nothing need be read twice.
    const groups = await by
    return { period, totals: groups.length < limit ? added(groups) : await usage.totals(filter), groups }
  }
}

function reportJson({ period, totals, groups }: Sums, { group, reader }: { group: GroupBy; reader: Reader }) {
  const [list, name] = GROUP_NAMES[group]
  return {
    from: period.from.toISOString(),
    to: period.to.toISOString(),
    time_zone: period.timeZone,
    group_by: group,
    totals: totalsJson(totals, reader),
    [list]: groups.map(({ key, ...sums }) => ({ [name]: key, ...totalsJson(sums, reader) })),
  }
}

function added(days: UsageTotals[]): UsageTotals {
  const number = (of: (sums: UsageTotals) => number) => days.reduce((sum, day) => sum + of(day), 0)
  const nanos = (of: (sums: UsageTotals) => bigint) => days.reduce((sum, day) => sum + of(day), 0n)
  return {
    answers: number((u) => u.answers),
    completed: number((u) => u.completed),
    stopped: number((u) => u.stopped),
    failed: number((u) => u.failed),
    promptTokens: number((u) => u.promptTokens),
    completionTokens: number((u) => u.completionTokens),
    cachedTokens: number((u) => u.cachedTokens),
    reasoningTokens: number((u) => u.reasoningTokens),
    costNanos: nanos((u) => u.costNanos),
    chargeNanos: nanos((u) => u.chargeNanos),
    savedNanos: nanos((u) => u.savedNanos),
    unpriced: number((u) => u.unpriced),
    estimated: number((u) => u.estimated),
  }
}
