import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { newId } from '../../src/lib/ids'
import { type TestApp, testApp } from '../support/app'
import { type FakeProvider, startFakeProvider } from '../support/fake-provider'
import { dataOf, newPerson, ownerToken, type Somebody, spent, WITH_EVERYBODY } from '../support/money'

let provider: FakeProvider
let app: TestApp
let admin: Somebody
let dir: string
beforeAll(async () => {
  provider = startFakeProvider()
  dir = mkdtempSync(join(tmpdir(), 'orchestrator-prices-'))
  const file = join(dir, 'models.yaml')
  writeFileSync(file, models(provider.url))
  app = await testApp({ ...WITH_EVERYBODY, MODELS_FILE: file })
  admin = await newPerson(app, { role: 'admin' })
})
afterAll(async () => {
  await app.close()
  await provider.stop()
  rmSync(dir, { recursive: true })
})

const PATH = '/v1/admin/prices'
const list = (query = '', token = admin.token) => app.call(`${PATH}${query}`, { token })

describe('the price list', () => {
  test('says what each deployment costs now, and the version of that', async () => {
    const { items, pagination, price_book } = await dataOf(list('?model=ECHO'))
    expect(items).toEqual([
      {
        model: 'echo',
        deployments: [
          {
            provider: 'near',
            provider_model: 'echo',
            version: expect.stringMatching(/^models_file#[0-9a-f]{12}$/),
            prices: {
              per_million: { input: 1, cached_input: 0.1, output: 2 },
              above: [{ input_tokens: 1000, per_million: { input: 3, cached_input: 0.1, output: 4 } }],
              tiers: [],
            },
          },
          { provider: 'far', provider_model: 'echo-2', version: null, prices: null },
        ],
      },
    ])
    expect(pagination).toEqual({ page: 1, limit: 20, total: 1, pages: 1 })
    expect(price_book).toHaveProperty('version')
  })

  test('shows administrators also what they may not use themselves', async () => {
    const { items } = await dataOf(list('?model=closed'))
    expect(items).toMatchObject([{ model: 'closed', deployments: [{ provider: 'near' }] }])
    expect((await list('', (await newPerson(app)).token)).status).toBe(403)
  })
})

describe('rating anew', () => {
  const rerate = (json: unknown, token = admin.token) => app.call(`${PATH}/rerate`, { token, json })
  const usage = { prompt_tokens: 100, completion_tokens: 50, total_tokens: 150 }
  const made = { provider: 'near', providerModel: 'echo', usage }

  test('says what past answers would cost today, and changes nothing', async () => {
    const model = newId()
    await spent(app, { ...admin, ...made, model, costNanos: 100_000n })
    await spent(app, { ...admin, ...made, model, costNanos: 200_000n })
    await spent(app, { ...admin, ...made, model, costNanos: null })
    // Of a provider that is gone, and one whose price nobody knows.
    await spent(app, { ...admin, ...made, model, costNanos: 50_000n, provider: 'gone' })
    await spent(app, { ...admin, ...made, model, costNanos: 60_000n, provider: 'far', providerModel: 'echo-2' })
    // Nobody was reached.
    await spent(app, {
      ...admin,
      model,
      costNanos: 0n,
      provider: null,
      providerModel: null,
      usage: null,
      status: 'failed',
    })
    const before = await app.call('/v1/admin/usage', { token: admin.token })
    const { models, totals } = await dataOf(rerate({ model }))
    const expected = {
      answers: 6,
      changed: 4,
      cost_then_usd: 0.00041,
      cost_now_usd: 0.0006,
      difference_usd: 0.00019,
      unpriced_then: 1,
      unpriced_now: 2,
    }
    expect(models).toEqual([{ model, ...expected }])
    expect(totals).toEqual(expected)
    const after = await app.call('/v1/admin/usage', { token: admin.token })
    expect(await after.json()).toEqual(await before.json())
  })

  test('keeps to the time, the model and the tenant', async () => {
    const model = newId()
    const foreign = await newPerson(app, { role: 'admin', elsewhere: true })
    await spent(app, { ...admin, ...made, model, completedAt: new Date('2026-03-01T12:00:00Z') })
    await spent(app, { ...foreign, ...made, model })
    const answers = async (json: object, token?: string) =>
      (await dataOf(rerate({ model, ...json }, token))).totals.answers
    expect(await answers({})).toBe(0)
    expect(await answers({ from: '2026-03-01', to: '2026-03-01' })).toBe(1)
    expect(await answers({}, foreign.token)).toBe(1)
    expect((await rerate({ tenant_id: admin.tenantId }, foreign.token)).status).toBe(404)
    expect(await answers({ tenant_id: foreign.tenantId }, await ownerToken(app))).toBe(1)
    expect((await rerate({}, (await newPerson(app)).token)).status).toBe(403)
  })

  test.each([{ from: 'x' }, { model: '' }, { model: 5 }, { prices: {} }, null, 'x'])('refuses %j', async (json) => {
    expect((await rerate(json)).status).toBe(422)
  })
})

const models = (url: string) => `
providers:
  near: { kind: openai, base_url: ${url}, api_key: sk-test }
  far: { kind: openai, base_url: ${url}, api_key: sk-test }
models:
  echo:
    deployments:
      - provider: near
        model: echo
        info: { prices: { input: 1, cached_input: 0.1, output: 2, above: [{ tokens: 1000, input: 3, output: 4 }] } }
      - { provider: far, model: echo-2 }
  closed:
    allow: { users: [${newId()}] }
    deployments: [{ provider: near, model: echo }]
`
