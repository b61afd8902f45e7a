import { t } from 'elysia'
import { exactNanos, toUsd } from '../lib/money'
import { validationError } from '../lib/problems'
import type { Budget, BudgetPeriod, LedgerEntry } from '../store/port-money'

const DAY_OR_TIME = '^\\d{4}-\\d{2}-\\d{2}(?:T\\d{2}:\\d{2}(?::\\d{2}(?:\\.\\d{1,9})?)?(?:Z|[+-]\\d{2}:\\d{2}))?$'

const Moment = (description: string) =>
  t.Optional(
    t.String({
      maxLength: 40,
      pattern: DAY_OR_TIME,
      description,
      examples: ['2026-11-01'],
      'x-must': 'must be a day, such as 2026-11-21, or a time, such as 2026-11-21T10:00:00Z',
    }),
  )

/** The query of everything that is about a time. */
export const periodFields = {
  from: Moment('A day, or a time; without it 30 days before the end'),
  to: Moment('A day, meant with all its hours, or a time before which; without it the end of today'),
  time_zone: t.Optional(
    t.String({
      minLength: 1,
      maxLength: 64,
      description: 'Where days begin: an IANA name; without it that of my profile, else UTC',
      examples: ['Europe/Berlin'],
    }),
  ),
}

export const TenantId = t.Optional(
  t.String({ format: 'uuid', description: 'Another tenant, for the owner of the installation only' }),
)

/** A text, because not every decimal is a number of JavaScript; a number is taken where it says the same. */
export const Amount = (description: string) =>
  t.Union([t.String({ minLength: 1, maxLength: 30 }), t.Number()], {
    description: `${description}, in US dollars: a text with at most nine decimals, such as "12.50", or such a number`,
    'x-must': 'must be an amount in US dollars with at most nine decimals, such as "12.50"',
  })

/** Dollars at once: what the ledger takes. */
const MOST = 1_000_000_000_000_000n

/**
 * Nano-dollars of an amount in a body.
 * @throws AppError VALIDATION_ERROR for what is none, too much, or outside these limits.
 */
export function amountOf(field: string, value: string | number, { negative = false, zero = false } = {}): bigint {
  const nanos = exactNanos(value)
  if (nanos === undefined) throw refused(field, 'must be an amount in US dollars with at most nine decimals')
  if (nanos === 0n && !zero) throw refused(field, 'must not be zero')
  if (nanos < 0n && !negative) throw refused(field, 'must not be negative')
  if (nanos > MOST || nanos < -MOST) throw refused(field, 'must be at most one million')
  return nanos
}

const refused = (path: string, message: string) => validationError('body', [{ path, message }])

export const Period = t.Union([t.Literal('day'), t.Literal('week'), t.Literal('month'), t.Literal('total')], {
  description: 'Begins in UTC, a week on Monday; `total` never ends',
}) satisfies { static: BudgetPeriod }

export const usd = (nanos: bigint | null): number | null => (nanos === null ? null : toUsd(nanos))

/** What a budget leaves, and until when. */
export const budgetJson = (b: Budget) => ({
  id: b.id,
  scope: b.kind,
  period: b.period,
  limit_usd: toUsd(b.limit),
  spent_usd: toUsd(b.spent),
  reserved_usd: toUsd(b.reserved),
  remaining_usd: toUsd(remaining(b)),
  warn_percent: b.warnPercent,
  hard: b.hard,
  resets_at: b.periodEnd?.toISOString() ?? null,
})

/** Never below zero: what was spent beyond a soft budget is seen in `spent`. */
export const remaining = ({ limit, spent, reserved }: Budget): bigint =>
  limit > spent + reserved ? limit - spent - reserved : 0n

export const budgetExample = {
  id: '0199c0de-0000-7000-8000-0000000000b0',
  scope: 'user',
  period: 'month',
  limit_usd: 20,
  spent_usd: 4.31,
  reserved_usd: 0.02,
  remaining_usd: 15.67,
  warn_percent: 80,
  hard: true,
  resets_at: '2026-12-01T00:00:00.000Z',
} satisfies ReturnType<typeof budgetJson>

/** One line of an account. */
export const entryJson = (e: LedgerEntry) => ({
  id: e.transactionId,
  kind: e.kind,
  amount_usd: toUsd(e.amount),
  balance_usd: toUsd(e.balance),
  reason: e.reason,
  created_at: e.createdAt.toISOString(),
})

export const entryExample = {
  id: '0199c0de-0000-7000-8000-0000000000e0',
  kind: 'charge',
  amount_usd: -0.00042,
  balance_usd: 9.99958,
  reason: null,
  created_at: '2026-11-21T10:00:01.000Z',
} satisfies ReturnType<typeof entryJson>
