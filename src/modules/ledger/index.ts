import { Elysia } from 'elysia'
import { ok, paged } from '../../lib/page'
import { onlyFieldsOf } from '../../lib/problems'
import { idempotencyKey } from '../../lib/turn-options'
import { administrator } from '../../plugins/admin'
import type { Auth } from '../../plugins/auth'
import { describe } from '../../plugins/docs'
import {
  AccountId,
  AccountPatch,
  AccountsQuery,
  accountExample,
  adminEntryExample,
  creditExample,
  EntriesQuery,
  NewCredit,
} from './model'
import type { Ledger } from './service'

const tag = 'Administration'

export const ledger = (auth: Auth, ledger: Ledger) =>
  new Elysia({ name: 'ledger', prefix: '/v1/admin/ledger' })
    .use(auth)
    .derive(administrator)
    .get('', async ({ user, query }) => ok(await ledger.accounts(user, query)), {
      query: AccountsQuery,
      detail: describe({
        summary: 'The accounts of my tenant, with their balances',
        description:
          'The newest first. People have one from their first answer on, API keys and tenants from when they are given money or a budget. `system` is the other side of every transaction.',
        tag,
        example: ok(paged([accountExample], { page: 1, limit: 20 }, 1)),
        errors: ['FORBIDDEN', 'NOT_FOUND', 'NOT_SUPPORTED'],
      }),
    })
    .get('/:id', async ({ user, params }) => ok(await ledger.get(user, params.id)), {
      params: AccountId,
      detail: describe({
        summary: 'One account',
        tag,
        example: ok(accountExample),
        errors: ['FORBIDDEN', 'NOT_FOUND', 'NOT_SUPPORTED'],
      }),
    })
    .patch('/:id', async ({ user, params, body }) => ok(await ledger.limit(user, params.id, body)), {
      params: AccountId,
      transform: onlyFieldsOf(AccountPatch),
      body: AccountPatch,
      detail: describe({
        summary: 'Limit an account, or do not',
        description: 'Refused while less than nothing is available.',
        tag,
        example: ok(accountExample),
        errors: ['FORBIDDEN', 'NOT_FOUND', 'CONFLICT', 'NOT_SUPPORTED'],
      }),
    })
    .get(
      '/:id/entries',
      async ({ user, params, query: { page = 1, limit = 20 } }) =>
        ok(await ledger.entries(user, params.id, { page, limit })),
      {
        params: AccountId,
        query: EntriesQuery,
        detail: describe({
          summary: 'What came to an account and went from it',
          description: 'The newest first. Nothing in it is ever changed.',
          tag,
          example: ok(paged([adminEntryExample], { page: 1, limit: 20 }, 1)),
          errors: ['FORBIDDEN', 'NOT_FOUND', 'NOT_SUPPORTED'],
        }),
      },
    )
    .post(
      '/credits',
      async ({ user, body, headers, set, status }) => {
        const { told, replayed } = await ledger.credit(user, body, idempotencyKey(headers))
        if (replayed) set.headers['idempotency-replayed'] = 'true'
        return status(201, ok(told))
      },
      {
        transform: onlyFieldsOf(NewCredit),
        body: NewCredit,
        detail: describe({
          summary: 'Top up, grant, refund or adjust',
          description: CREDIT,
          tag,
          example: ok(creditExample),
          status: 201,
          errors: ['FORBIDDEN', 'NOT_FOUND', 'INSUFFICIENT_BALANCE', 'NOT_SUPPORTED'],
        }),
      },
    )

const CREDIT =
  'The header `Idempotency-Key` is required: sent again with the same key, it gives the first result (`Idempotency-Replayed: true`) and no money; with another body it is refused with 422, for ever. An adjustment below zero takes money away, at most what is available. The account of a key or a tenant that is made by this is limited to what is in it.'
