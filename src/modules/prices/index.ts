import { Elysia } from 'elysia'
import { ok, paged } from '../../lib/page'
import { patient } from '../../lib/patient'
import { onlyFieldsOf } from '../../lib/problems'
import { administrator } from '../../plugins/admin'
import type { Auth } from '../../plugins/auth'
import { describe } from '../../plugins/docs'
import { modelExample, PricesQuery, Rerate, rerateExample } from './model'
import type { PriceList } from './service'

const tag = 'Administration'
const price_book = { name: '@pydantic/genai-prices', version: '0.1.8', date: '2026-09-23' }

export const prices = (auth: Auth, prices: PriceList) =>
  new Elysia({ name: 'prices', prefix: '/v1/admin/prices' })
    .use(auth)
    .derive(administrator)
    .get('', async ({ query }) => ok(await prices.list(query)), {
      query: PricesQuery,
      detail: describe({
        summary: 'What each model costs now',
        description:
          'By deployment, in US dollars per million tokens (of `request` and `audio_seconds`: per million of these). `version` names exactly these prices: answers keep the one that priced them. `prices` is null where nobody has said.',
        tag,
        example: ok({ ...paged([modelExample], { page: 1, limit: 20 }, 1), price_book }),
        errors: ['FORBIDDEN', 'UPSTREAM_ERROR', 'UPSTREAM_UNAVAILABLE'],
      }),
    })
    .post('/rerate', async ({ user, body }) => ok(await prices.rerate(user, body)), {
      transform: onlyFieldsOf(Rerate),
      beforeHandle: patient,
      body: Rerate,
      detail: describe({
        summary: 'What past answers would cost at the prices of today',
        description:
          'From the usage that providers reported, by model; nothing is changed. What nobody reported keeps its cost. At most 500,000 answers; the tier that served an answer is not kept, so the usual price is taken.',
        tag,
        example: ok(rerateExample),
        errors: ['FORBIDDEN', 'NOT_FOUND', 'NOT_SUPPORTED', 'UPSTREAM_ERROR', 'UPSTREAM_UNAVAILABLE'],
      }),
    })
