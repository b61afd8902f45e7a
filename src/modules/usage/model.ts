import { t } from 'elysia'
import { eachOf, toUsd } from '../../lib/money'
import type { UsageTotals } from '../../store/port-money'
import { periodFields, usd } from '../money'

/** Groups, of what cost most, when the client does not say, and at most. */
const GROUPS = { usual: 100, most: 1000 }

const Uuid = (description: string) => t.Optional(t.String({ format: 'uuid', description }))

const limit = t.Optional(
  t.Numeric({
    minimum: 1,
    maximum: GROUPS.most,
    multipleOf: 1,
    default: GROUPS.usual,
    description: 'Groups, those that cost most first; days come all',
  }),
)
export const usualGroups = GROUPS.usual

const mine = [t.Literal('day'), t.Literal('model'), t.Literal('conversation'), t.Literal('key')] as const
const words = (names: string) => ({
  description: 'What is added up apart; `day` when it is left out',
  'x-must': `must be one of ${names}`,
})

export const UsageQuery = t.Object({
  ...periodFields,
  group_by: t.Optional(t.Union([...mine], words('day, model, conversation, key'))),
  limit,
})
export type UsageQuery = typeof UsageQuery.static

/** Whose usage an administrator looks at. */
const filterFields = {
  ...periodFields,
  user_id: Uuid('Of this person only'),
  key_id: Uuid('By this API key only'),
  model: t.Optional(t.String({ minLength: 1, maxLength: 200, description: 'Of this model only, as callers named it' })),
  tenant_id: t.Optional(
    t.Union([t.String({ format: 'uuid' }), t.Literal('all')], {
      description: 'Another tenant, or `all` of them; for the owner of the installation only',
      'x-must': 'must be the UUID of a tenant, or all',
    }),
  ),
}

export const AdminUsageQuery = t.Object({
  ...filterFields,
  group_by: t.Optional(
    t.Union(
      [...mine, t.Literal('user'), t.Literal('provider')],
      words('day, model, conversation, key, user, provider'),
    ),
  ),
  limit,
})
export type AdminUsageQuery = typeof AdminUsageQuery.static
export type GroupBy = NonNullable<AdminUsageQuery['group_by']>

export const ExportQuery = t.Object({
  ...filterFields,
  format: t.Optional(
    t.Union([t.Literal('csv'), t.Literal('ndjson')], {
      description: '`csv` when it is left out',
      'x-must': 'must be csv or ndjson',
    }),
  ),
})
export type ExportQuery = typeof ExportQuery.static

/** Who reads: people see what they were charged, administrators what the provider takes besides. */
export type Reader = 'person' | 'administrator'

export function totalsJson(u: UsageTotals, reader: Reader) {
  const counts = {
    answers: u.answers,
    completed: u.completed,
    stopped: u.stopped,
    failed: u.failed,
    success_rate: u.answers > 0 ? Number((1 - u.failed / u.answers).toFixed(4)) : null,
    prompt_tokens: u.promptTokens,
    completion_tokens: u.completionTokens,
    total_tokens: u.promptTokens + u.completionTokens,
    cached_tokens: u.cachedTokens,
    reasoning_tokens: u.reasoningTokens,
  }
  const known = { saved_usd: toUsd(u.savedNanos), unpriced: u.unpriced, estimated: u.estimated }
  if (reader === 'person') {
    return {
      ...counts,
      cost_usd: toUsd(u.chargeNanos),
      cost_per_message_usd: usd(eachOf(u.chargeNanos, u.answers)),
      ...known,
    }
  }
  return {
    ...counts,
    cost_usd: toUsd(u.costNanos),
    charged_usd: toUsd(u.chargeNanos),
    cost_per_message_usd: usd(eachOf(u.costNanos, u.answers - u.unpriced)),
    ...known,
  }
}

/** What a list of groups is called, and what names each of them. */
export const GROUP_NAMES = {
  day: ['days', 'day'],
  model: ['models', 'model'],
  conversation: ['conversations', 'conversation_id'],
  key: ['keys', 'key_id'],
  user: ['users', 'user_id'],
  provider: ['providers', 'provider'],
} as const satisfies Record<GroupBy, readonly [string, string]>

const sums: UsageTotals = {
  answers: 42,
  completed: 40,
  stopped: 1,
  failed: 1,
  promptTokens: 18_200,
  completionTokens: 9_140,
  cachedTokens: 4_096,
  reasoningTokens: 0,
  costNanos: 136_900_000n,
  chargeNanos: 164_280_000n,
  savedNanos: 5_120_000n,
  unpriced: 0,
  estimated: 2,
}
const period = { from: '2026-10-22T22:00:00.000Z', to: '2026-11-21T23:00:00.000Z', time_zone: 'Europe/Berlin' }
export const usageExample = {
  ...period,
  group_by: 'day',
  totals: totalsJson(sums, 'person'),
  days: [{ day: '2026-11-21', ...totalsJson(sums, 'person') }],
}
export const adminUsageExample = {
  ...period,
  group_by: 'user',
  totals: totalsJson(sums, 'administrator'),
  users: [{ user_id: '0199c0de-0000-7000-8000-00000000000a', ...totalsJson(sums, 'administrator') }],
}
