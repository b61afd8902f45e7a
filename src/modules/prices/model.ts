import { t } from 'elysia'
import { toUsd } from '../../lib/money'
import type { Prices, Rates } from '../../llm/prices'
import { periodFields, TenantId, usd } from '../money'
import { pageFields } from '../paging'

export const PricesQuery = t.Object({
  model: t.Optional(t.String({ minLength: 1, maxLength: 200, description: 'A part of its name' })),
  ...pageFields(20),
})
export type PricesQuery = typeof PricesQuery.static

export const Rerate = t.Object(
  {
    ...periodFields,
    model: t.Optional(t.String({ minLength: 1, maxLength: 200, description: 'This model only, as callers named it' })),
    tenant_id: TenantId,
  },
  { examples: [{ from: '2026-11-01', to: '2026-11-21', model: 'gpt-4o' }] },
)
export type Rerate = typeof Rerate.static

const snake = (name: string) => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

/** US dollars per million, of what has a price. */
const ratesJson = (rates: Rates): Record<string, number> =>
  Object.fromEntries(
    Object.entries(rates).flatMap(([kind, nanos]) => (nanos === undefined ? [] : [[snake(kind), toUsd(nanos)]])),
  )

export const pricesJson = ({ above = [], tiers = {}, from: _later, ...rates }: Prices) => ({
  per_million: ratesJson(rates),
  above: above.map((step) => ({ input_tokens: step.tokens, per_million: ratesJson(step.rates) })),
  tiers: Object.entries(tiers).map(([tier, own]) => ({ tier, per_million: ratesJson(own) })),
})

export const modelExample = {
  model: 'gpt-4o',
  deployments: [
    {
      provider: 'openai',
      provider_model: 'gpt-4o',
      version: '@pydantic/genai-prices 0.1.8#3f1c0a9b27de',
      prices: { per_million: { input: 2.5, cached_input: 1.25, output: 10 }, above: [], tiers: [] },
    },
  ],
}

/** What answers cost then, and what they would cost now, in nano-dollars. */
export interface Rerated {
  answers: number
  /** Whose cost would be another one. */
  changed: number
  before: bigint
  now: bigint
  unpricedBefore: number
  unpricedNow: number
}

export const reratedJson = (r: Rerated) => ({
  answers: r.answers,
  changed: r.changed,
  cost_then_usd: toUsd(r.before),
  cost_now_usd: toUsd(r.now),
  difference_usd: usd(r.now - r.before),
  unpriced_then: r.unpricedBefore,
  unpriced_now: r.unpricedNow,
})

const sums = { answers: 42, changed: 40, before: 136_900_000n, now: 128_100_000n, unpricedBefore: 2, unpricedNow: 0 }
export const rerateExample = {
  from: '2026-11-01T00:00:00.000Z',
  to: '2026-11-22T00:00:00.000Z',
  totals: reratedJson(sums),
  models: [{ model: 'gpt-4o', ...reratedJson(sums) }],
}
