import { t } from 'elysia'
import { toUsd } from '../../lib/money'
import type { User } from '../../store/port'
import type { LedgerAccount, LedgerEntry, UsageRecord } from '../../store/port-money'
import type { Person } from '../../store/port-tenants'
import { budgetExample, entryExample, entryJson, usd } from '../money'
import { pageFields } from '../paging'
import { Data, Name } from '../shapes'

export { budgetJson } from '../money'

export const TransactionsQuery = t.Object(pageFields(20))

export const ProfilePatch = t.Object(
  {
    name: t.Optional(Name),
    preferences: t.Optional(Data('Whatever a client keeps for me; replaced as a whole')),
    time_zone: t.Optional(
      t.Nullable(
        t.String({ minLength: 1, maxLength: 64, description: 'Where my days begin: an IANA name; null for UTC' }),
      ),
    ),
  },
  {
    minProperties: 1,
    description: 'At least one of them. Nothing else about me is mine to change.',
    examples: [{ name: 'Grace', preferences: { theme: 'dark' }, time_zone: 'Europe/Berlin' }],
  },
)
export type ProfilePatch = typeof ProfilePatch.static

export type Profile = Pick<User, 'userId' | 'email' | 'name' | 'role' | 'tenantId' | 'createdAt'> &
  Pick<Person, 'preferences' | 'timeZone'>

export const profileJson = (p: Profile) => ({
  id: p.userId,
  email: p.email,
  name: p.name,
  role: p.role,
  tenant_id: p.tenantId,
  preferences: p.preferences,
  time_zone: p.timeZone,
  created_at: p.createdAt?.toISOString() ?? null,
})

export const profileExample = {
  id: '0199c0de-0000-7000-8000-00000000000a',
  email: 'grace@example.com',
  name: 'Grace',
  role: 'user',
  tenant_id: '00000000-0000-0000-0000-000000000001',
  preferences: { theme: 'dark' },
  time_zone: 'Europe/Berlin',
  created_at: '2026-11-21T10:00:00.000Z',
} satisfies ReturnType<typeof profileJson>

/** What somebody has, as far as there is an account. */
export const accountJson = (a: Pick<LedgerAccount, 'balance' | 'reserved' | 'available' | 'limited'>) => ({
  balance_usd: toUsd(a.balance),
  reserved_usd: toUsd(a.reserved),
  available_usd: usd(a.available),
  limited: a.limited,
})

export const balanceExample = {
  balance_usd: 9.58,
  reserved_usd: 0.02,
  available_usd: 9.56,
  limited: true,
  spent_today_usd: 0.42,
  spent_month_usd: 4.31,
  budgets: [budgetExample],
  litellm: null,
}

/** An entry with what a charge was for: nothing where nobody knows it. */
export const transactionJson = (entry: LedgerEntry, record: UsageRecord | undefined) => ({
  ...entryJson(entry),
  message_id: record?.messageId ?? null,
  conversation_id: record?.conversationId ?? null,
  model: record?.model ?? null,
})

export const transactionExample = {
  ...entryExample,
  message_id: '0199c0de-0000-7000-8000-000000000003',
  conversation_id: '0199c0de-0000-7000-8000-000000000001',
  model: 'gpt-4o',
} satisfies ReturnType<typeof transactionJson>
