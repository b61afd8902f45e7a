import { AppError } from '../../errors'
import { paged } from '../../lib/page'
import { periodOf } from '../../lib/period'
import { tenantOf } from '../../lib/scope'
import type { Catalog, Known } from '../../llm/catalog'
import type { Usage } from '../../llm/port'
import type { Router } from '../../llm/router'
import type { Store, User } from '../../store/port'
import type { UsageFilter, UsageRecord } from '../../store/port-money'
import { type PricesQuery, pricesJson, type Rerate, type Rerated, reratedJson } from './model'

/** Records that are read at once, and at most: each is rated anew. */
const PAGE = 1000
const MOST = 500_000

export interface PricesDeps {
  store: Pick<Store, 'usage'>
  models: Pick<Router, 'all' | 'everybody'>
  catalog: Pick<Catalog, 'open' | 'pricesAt' | 'rate' | 'priceBook'>
  now: () => Date
}

/** What models cost, for administrators: every caller has made sure that it is one. */
export class PriceList {
  constructor(private readonly deps: PricesDeps) {}

  /** Now, of each deployment. */
  async list({ model = '', page = 1, limit = 20 }: PricesQuery) {
    const { models, catalog, now } = this.deps
    await catalog.open(models.everybody())
    const part = model.toLowerCase()
    const routes = (await models.all()).filter((route) => route.model.toLowerCase().includes(part))
    const items = routes.slice((page - 1) * limit, page * limit).map((route) => ({
      model: route.model,
      deployments: route.deployments.map((deployment) => {
        const known = catalog.pricesAt(deployment, now())
        return {
          provider: deployment.provider.name,
          provider_model: deployment.model,
          version: known?.version ?? null,
          prices: known ? pricesJson(known.prices) : null,
        }
      }),
    }))
    return { ...paged(items, { page, limit }, routes.length), price_book: catalog.priceBook }
  }

  /** What answers of the past would cost at the prices of today. Changes nothing. */
  async rerate(user: User, { model, tenant_id, time_zone = 'UTC', from, to }: Rerate) {
    const period = periodOf({ from, to }, { timeZone: time_zone, now: this.deps.now() })
    const filter: UsageFilter = { tenantId: tenantOf(user, tenant_id), model, from: period.from, to: period.to }
    const { answers } = await this.deps.store.usage.totals(filter)
    if (answers > MOST) {
      throw new AppError(
        'VALIDATION_ERROR',
        `These are ${answers} answers, and ${MOST} can be rated at once: ask for less`,
      )
    }
    const byModel = await this.rated(filter)
    const models = [...byModel].map(([name, sums]) => ({ model: name, ...reratedJson(sums) }))
    return {
      from: period.from.toISOString(),
      to: period.to.toISOString(),
      totals: reratedJson([...byModel.values()].reduce(added, nothing())),
      models: models.sort((a, b) => Math.abs(b.difference_usd ?? 0) - Math.abs(a.difference_usd ?? 0)),
    }
  }

  private async rated(filter: UsageFilter): Promise<Map<string, Rerated>> {
    const find = await this.finder()
    const byModel = new Map<string, Rerated>()
    let after: string | null = null
    do {
      const page: Awaited<ReturnType<Store['usage']['records']>> = await this.deps.store.usage.records(filter, {
        after,
        limit: PAGE,
      })
      for (const record of page.items) {
        const one = this.compared(record, find(record))
        byModel.set(record.model, added(byModel.get(record.model) ?? nothing(), one))
      }
      after = page.next
    } while (after !== null)
    return byModel
  }

  private compared({ costNanos, usage }: UsageRecord, made: Known | undefined): Rerated {
    const now = usage ? this.costNow(usage as Usage, made) : costNanos
    return {
      answers: 1,
      changed: now === costNanos ? 0 : 1,
      before: costNanos ?? 0n,
      now: now ?? 0n,
      unpricedBefore: costNanos === null ? 1 : 0,
      unpricedNow: now === null ? 1 : 0,
    }
  }

  private costNow(usage: Usage, made: Known | undefined): bigint | null {
    return made ? (this.deps.catalog.rate(made, { usage }, this.deps.now())?.costNanos ?? null) : null
  }

  /**
   * Finds who made an answer, as far as they are still there: for the same name, else for another one that leads to the same
   * model, else whoever is called so.
   */
  private async finder(): Promise<(record: UsageRecord) => Known | undefined> {
    const { models, catalog } = this.deps
    const providers = models.everybody()
    await catalog.open(providers)
    const keyOf = (...names: string[]) => JSON.stringify(names)
    const known = new Map<string, Known>()
    for (const { model, deployments } of await models.all()) {
      for (const one of deployments) {
        const [exact, same] = [keyOf(model, one.provider.name, one.model), keyOf(one.provider.name, one.model)]
        known.set(exact, one)
        if (!known.has(same)) known.set(same, one)
      }
    }
    return ({ model, provider, providerModel }) => {
      if (provider === null || providerModel === null) return undefined
      const there = providers.find(({ name }) => name === provider)
      const named = known.get(keyOf(model, provider, providerModel)) ?? known.get(keyOf(provider, providerModel))
      return named ?? (there && { provider: there, model: providerModel })
    }
  }
}

const nothing = (): Rerated => ({ answers: 0, changed: 0, before: 0n, now: 0n, unpricedBefore: 0, unpricedNow: 0 })

const added = (a: Rerated, b: Rerated): Rerated => ({
  answers: a.answers + b.answers,
  changed: a.changed + b.changed,
  before: a.before + b.before,
  now: a.now + b.now,
  unpricedBefore: a.unpricedBefore + b.unpricedBefore,
  unpricedNow: a.unpricedNow + b.unpricedNow,
})
