import { Elysia } from 'elysia'
import { onlyFieldsOf } from '../../lib/problems'
import type { Auth } from '../../plugins/auth'
import { describe } from '../../plugins/docs'
import { budgetExample, profileExample, statsExample, usageExample } from './examples'
import { OwnBudget, UsageQuery } from './model'
import type { LettaUser } from './service'

const tag = 'Letta backend'

/** What the backend of the Letta system says of a person: its addresses, plain JSON, FastAPI's errors. */
export const lettaUser = (auth: Auth, me: LettaUser) =>
  new Elysia({ name: 'letta-user', prefix: '/api/v1/user' })
    .use(auth)
    .get('/profile', ({ user }) => me.profile(user), {
      detail: describe({ summary: 'My profile', tag, example: profileExample, errors: ['NOT_FOUND'] }),
    })
    .get('/usage', ({ user, query }) => me.usage(user, query), {
      query: UsageQuery,
      detail: describe({
        summary: 'What my answers took and cost',
        description: 'By day and by model; the last 30 days unless `from` and `to` say otherwise.',
        tag,
        example: usageExample,
        errors: ['NOT_SUPPORTED'],
      }),
    })
    .get('/budget', ({ user }) => me.budget(user), {
      detail: describe({
        summary: 'My budgets',
        description: 'Those of an administrator and my own, with what is left of each.',
        tag,
        example: budgetExample,
        errors: ['NOT_SUPPORTED'],
      }),
    })
    .post('/budget', ({ user, body }) => me.setBudget(user, body), {
      transform: onlyFieldsOf(OwnBudget),
      body: OwnBudget,
      detail: describe({
        summary: 'Set a budget for myself',
        description:
          'One for each period, a month unless `period` says otherwise. Hard (it refuses answers) or soft (it is only told). One that an administrator set can be made stricter, and only they can loosen it again.',
        tag,
        example: budgetExample,
        errors: ['FORBIDDEN', 'NOT_SUPPORTED'],
      }),
    })
    .get('/stats', ({ user }) => me.stats(user), {
      detail: describe({
        summary: 'My conversations and answers in numbers',
        tag,
        example: statsExample,
        errors: ['NOT_SUPPORTED'],
      }),
    })
