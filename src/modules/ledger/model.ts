import { t } from 'elysia'
import { toUsd } from '../../lib/money'
import type { LedgerAccount, LedgerEntry } from '../../store/port-money'
import { Amount, entryExample, entryJson, TenantId, usd } from '../money'
import { pageFields } from '../paging'

export { amountOf } from '../money'

export const AccountId = t.Object({ id: t.String({ format: 'uuid', description: 'The account' }) })
export const EntriesQuery = t.Object(pageFields(20))

export const Scope = t.Union([t.Literal('user'), t.Literal('key'), t.Literal('tenant')])
export type Scope = typeof Scope.static
export const OwnerId = t.Optional(
  t.String({
    format: 'uuid',
    description: 'The person or the API key; a tenant needs none: it is the one asked about',
  }),
)

export const AccountsQuery = t.Object({
  scope: t.Optional(
    t.Union([...Scope.anyOf, t.Literal('system')], { 'x-must': 'must be user, key, tenant or system' }),
  ),
  owner_id: OwnerId,
  tenant_id: TenantId,
  ...pageFields(20),
})
export type AccountsQuery = typeof AccountsQuery.static

export const AccountPatch = t.Object(
  { limited: t.Boolean({ description: 'Refuses what it cannot pay; otherwise it is only counted' }) },
  { examples: [{ limited: true }] },
)
export type AccountPatch = typeof AccountPatch.static

export const NewCredit = t.Object(
  {
    scope: Scope,
    owner_id: OwnerId,
    tenant_id: TenantId,
    kind: t.Union([t.Literal('topup'), t.Literal('grant'), t.Literal('refund'), t.Literal('adjustment')]),
    amount_usd: Amount('What is added; only an adjustment may be below zero'),
    reason: t.String({ minLength: 1, maxLength: 500, pattern: '\\S', description: 'For whoever reads the books' }),
    charge_id: t.Optional(t.String({ format: 'uuid', description: 'The charge that a refund is about' })),
  },
  {
    examples: [
      {
        scope: 'user',
        owner_id: '0199c0de-0000-7000-8000-00000000000a',
        kind: 'topup',
        amount_usd: '25.00',
        reason: 'Invoice 2026-117',
      },
    ],
  },
)
export type NewCredit = typeof NewCredit.static

export const accountJson = (a: LedgerAccount) => ({
  id: a.id,
  tenant_id: a.tenantId,
  scope: a.kind,
  owner_id: a.ownerId,
  limited: a.limited,
  balance_usd: toUsd(a.balance),
  reserved_usd: toUsd(a.reserved),
  available_usd: usd(a.available),
})

export const accountExample = {
  id: '0199c0de-0000-7000-8000-0000000000a0',
  tenant_id: '00000000-0000-0000-0000-000000000001',
  scope: 'user',
  owner_id: '0199c0de-0000-7000-8000-00000000000a',
  limited: true,
  balance_usd: 34.58,
  reserved_usd: 0.02,
  available_usd: 34.56,
} satisfies ReturnType<typeof accountJson>

export const adminEntryJson = (e: LedgerEntry) => ({
  ...entryJson(e),
  reservation_id: e.reservationId,
  actor_id: e.actorId,
})

export const adminEntryExample = {
  ...entryExample,
  reservation_id: '0199c0de-0000-7000-8000-0000000000e0',
  actor_id: null,
} satisfies ReturnType<typeof adminEntryJson>

export const creditExample = {
  id: '0199c0de-0000-7000-8000-0000000000e1',
  account_id: accountExample.id,
  scope: 'user',
  owner_id: accountExample.owner_id,
  kind: 'topup',
  amount_usd: 25,
  balance_usd: 34.58,
  reason: 'Invoice 2026-117',
  created_at: '2026-11-21T10:00:00.000Z',
}
