import { Elysia } from 'elysia'
import { ok } from '../../lib/page'
import type { Auth } from '../../plugins/auth'
import { describe } from '../../plugins/docs'
import { StatsQuery, statsExample } from './model'
import type { Stats } from './service'

export const stats = (auth: Auth, stats: Stats) =>
  new Elysia({ name: 'stats', prefix: '/v1/user' })
    .use(auth)
    .get('/conversations/stats', async ({ user, query: { tz = 'UTC' } }) => ok(await stats.of(user, tz)), {
      query: StatsQuery,
      detail: describe({
        summary: 'All my conversations in numbers',
        description:
          'Those of every branch. `days` are the last 30, today included, also those without a message; `models` are the twenty most used, `most_active` the five longest conversations. `cost_usd` adds up what is known.',
        tag: 'Conversations',
        example: ok(statsExample),
        errors: ['NOT_SUPPORTED'],
      }),
    })
