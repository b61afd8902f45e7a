import { Elysia } from 'elysia'
import { ok, paged } from '../../lib/page'
import { onlyFieldsOf } from '../../lib/problems'
import type { Auth } from '../../plugins/auth'
import { describe } from '../../plugins/docs'
import { balanceExample, ProfilePatch, profileExample, TransactionsQuery, transactionExample } from './model'
import type { Profiles } from './service'

const tag = 'Usage and money'

export const user = (auth: Auth, profiles: Profiles) =>
  new Elysia({ name: 'user', prefix: '/v1/user' })
    .use(auth)
    .get('/profile', async ({ user }) => ok(await profiles.get(user)), {
      detail: describe({
        summary: 'My profile',
        tag,
        example: ok(profileExample),
        errors: ['NOT_FOUND'],
      }),
    })
    .patch('/profile', async ({ user, body }) => ok(await profiles.update(user, body)), {
      transform: onlyFieldsOf(ProfilePatch),
      body: ProfilePatch,
      detail: describe({
        summary: 'Change my name, preferences or time zone',
        description: 'Other fields are ignored: role, tenant and money are for administrators.',
        tag,
        example: ok(profileExample),
        errors: ['NOT_FOUND', 'NOT_SUPPORTED'],
      }),
    })
    .get('/balance', async ({ user }) => ok(await profiles.balance(user)), {
      detail: describe({
        summary: 'What I have, spent, and may still spend',
        description: BALANCE,
        tag,
        example: ok(balanceExample),
        errors: ['UPSTREAM_UNAVAILABLE'],
      }),
    })
    .get(
      '/transactions',
      async ({ user, query: { page = 1, limit = 20 } }) => ok(await profiles.transactions(user, { page, limit })),
      {
        query: TransactionsQuery,
        detail: describe({
          summary: 'What came to my account and went from it',
          description:
            'The newest first. `kind` is `topup`, `grant`, `refund`, `adjustment` or `charge`; a charge names its message, conversation and model. The amounts add up to `balance_usd` of the newest.',
          tag,
          example: ok(paged([transactionExample], { page: 1, limit: 20 }, 1)),
          errors: ['NOT_SUPPORTED'],
        }),
      },
    )

const BALANCE =
  '`available_usd` is what new answers can be paid from: the balance without what is kept back for answers being made; null when nothing limits me (`limited` is false), and the balance may then be below zero: it is what I used. Today and this month begin where my profile says, budgets in UTC. `litellm` is what the LiteLLM proxy says, where I have a key of my own there.'
