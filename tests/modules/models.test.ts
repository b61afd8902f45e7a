/** What is told about models, and who is told. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Account, type TestApp, testApp } from '../support/app'
import { type FakeProvider, startFakeProvider } from '../support/fake-provider'

const dir = mkdtempSync(join(tmpdir(), 'orchestrator-models-'))
const path = join(dir, 'models.yaml')
let fake: FakeProvider
let app: TestApp
let me: Account
let other: Account

const file = (more = '') => `providers:
  main: { kind: openai, base_url: "${fake.url}" }
  azure-eu: { kind: azure, base_url: "${fake.url}", api_key: "\${KEY}" }
models:
  echo:
    deployments: [{ provider: main }]
    info:
      display_name: The echo
      context_window: 1000
      max_output_tokens: 200
      capabilities: [tools]
      prices: { input: 2000, cached_input: 1000, output: 10000 }
      deprecated_at: 2020-01-01
  acme/fast:
    deployments: [{ provider: azure-eu, model: echo }, { provider: main, model: echo }]
  broken:
    deployments: [{ provider: main, model: "status:500" }]
  mine:
    allow: { users: [${me?.userId ?? '0199c0de-0000-7000-8000-000000000009'}] }
    deployments: [{ provider: main, model: echo }]
${more}`

beforeAll(async () => {
  fake = startFakeProvider()
  writeFileSync(path, file())
  app = await testApp({ MODELS_FILE: path, KEY: 'azure-key', OPENAI_BASE_URL: 'http://127.0.0.1:1/v1' })
  me = await app.signUp()
  other = await app.signUp()
  writeFileSync(path, file())
  app.services.reloadModels()
})
afterAll(async () => {
  await app.close()
  await fake.stop()
  rmSync(dir, { recursive: true, force: true })
})

const get = async (where: string, { token } = me) => {
  const answer = await app.call(`/v1/models${where}`, { token })
  return { status: answer.status, body: await answer.json() }
}
const say = async (model: string, json: object = {}) => {
  const answer = await app.call('/v1/chat/completions', {
    token: me.token,
    json: { message: 'one two three', model, stream: false, ...json },
  })
  return { status: answer.status, body: await answer.json() }
}

describe('GET /v1/models', () => {
  test("has OpenAI's shape, and the models of the file in its order", async () => {
    const { body } = await get('')
    expect(body.object).toBe('list')
    expect(body.data.map(({ id }: { id: string }) => id)).toEqual(['echo', 'acme/fast', 'broken', 'mine'])
    expect(body.data[0]).toEqual({ id: 'echo', object: 'model', created: 0, owned_by: 'main' })
  })

  test('does not show what one may not use', async () => {
    const { body } = await get('', other)
    expect(body.data.map(({ id }: { id: string }) => id)).toEqual(['echo', 'acme/fast', 'broken'])
    expect((await get('?format=rich', other)).body.data.models).toHaveLength(3)
    expect((await get('/mine/info', other)).status).toBe(404)
    expect((await get('/mine', other)).status).toBe(404)
    expect((await get('/mine')).body.id).toBe('mine')
  })

  test('has all that is known with ?format=rich', async () => {
    const { body } = await get('?format=rich')
    expect(body).toMatchObject({ success: true, data: { price_book: { name: '@pydantic/genai-prices' } } })
    expect(body.data.models[0]).toEqual({
      id: 'echo',
      object: 'model',
      created: 0,
      owned_by: 'main',
      provider: 'main',
      display_name: 'The echo',
      context_window: 1000,
      max_output_tokens: 200,
      capabilities: ['tools'],
      pricing: {
        currency: 'USD',
        per_tokens: 1_000_000,
        input: 2000,
        cached_input: 1000,
        cache_write: null,
        output: 10_000,
        reasoning: null,
        source: 'models_file',
      },
      deprecated: true,
      deprecated_at: '2020-01-01',
      health: { status: 'ok', deployments: 1, available: 1, first_token_ms: null },
    })
    expect(body.data.models[1]).toMatchObject({ context_window: null, pricing: null, capabilities: null })
  })

  test('refuses a format that is none', async () => {
    expect((await get('?format=poor')).status).toBe(400)
  })
})

describe('GET /v1/models/{provider} and /v1/models/{id}', () => {
  test('give the models of a provider, whatever its case, and of a maker', async () => {
    const ids = async (name: string) => (await get(`/${name}`)).body.data.models.map(({ id }: { id: string }) => id)
    expect(await ids('main')).toEqual(['echo', 'broken', 'mine'])
    expect(await ids('Azure-EU')).toEqual(['acme/fast'])
    expect(await ids('acme')).toEqual(['acme/fast'])
  })

  test.each(['/acme/fast', '/acme%2Ffast'])('give one model: %s', async (name) => {
    expect((await get(name)).body).toEqual({ id: 'acme/fast', object: 'model', created: 0, owned_by: 'azure-eu' })
    expect((await get(`${name}?format=rich`)).body.data.health.deployments).toBe(2)
    expect((await get(`${name}/info`)).body).toMatchObject({ success: true, data: { id: 'acme/fast' } })
  })

  test('say what may have been meant', async () => {
    const { status, body } = await get('/acme/fas/info')
    expect(status).toBe(404)
    expect(body.error.details.near).toEqual(['acme/fast'])
    expect((await get('/ecco')).body.error).toMatchObject({
      type: 'invalid_request_error',
      message: expect.stringContaining('echo'),
    })
  })
})

describe('an answer', () => {
  test('has a cost, from the prices of the file', async () => {
    const { body } = await say('echo')
    expect(body.usage).toMatchObject({ prompt_tokens: 3, completion_tokens: 3 })
    expect(body.cost_usd).toBe(0.036)
    expect((await say('acme/fast')).body.cost_usd).toBeNull()
  })

  test('leaves its latency behind, and failures show', async () => {
    await say('echo')
    expect((await get('/echo/info')).body.data.health.first_token_ms).toBeGreaterThanOrEqual(0)
    for (let i = 0; i < 2; i++) await say('broken')
    expect((await get('/broken/info')).body.data.health).toMatchObject({ status: 'down', available: 0 })
    const health = await (await app.call('/health')).json()
    expect(Object.keys(health.checks ?? health.data?.checks)).toContain('llm:main')
  })

  test('goes to the providers of the file only, each with its own key', async () => {
    fake.requests.length = 0
    await say('acme/fast')
    const asked = fake.requests.filter(({ method }) => method === 'POST')
    expect(asked.map(({ headers }) => headers['api-key'])).toContain('azure-key')
    const { status, body } = await say('tools')
    expect([status, body.error.code]).toEqual([404, 'NOT_FOUND'])
    const forbidden = await app.call('/v1/chat/completions', {
      token: other.token,
      json: { message: 'x', model: 'mine', stream: false },
    })
    expect(forbidden.status).toBe(403)
  })
})

describe('a reload', () => {
  test('brings other models, keeps the old ones when the file is bad, and cuts no answer', async () => {
    writeFileSync(path, file('  slow:\n    deployments: [{ provider: main, model: "slow:20:40" }]\n'))
    app.services.reloadModels()
    const running = say('slow')
    await Bun.sleep(100)
    writeFileSync(path, 'providers: {')
    app.services.reloadModels()
    expect((await get('')).body.data).toHaveLength(5)
    writeFileSync(path, file())
    app.services.reloadModels()
    expect((await get('')).body.data).toHaveLength(4)
    expect((await running).body.choices[0].message.content).toEndWith('t40')
    expect((await say('slow')).status).toBe(404)
    rmSync(path)
    app.services.reloadModels()
    expect((await get('')).body.data).toHaveLength(4)
  })
})

test('a start with a bad file is refused, with all that is wrong', async () => {
  const bad = join(dir, 'bad.yaml')
  writeFileSync(bad, 'providers: {a: {kind: x, key: y}}')
  expect(testApp({ MODELS_FILE: bad })).rejects.toThrow(/2 setting\(s\)[\s\S]*MODELS_FILE: line 1, providers\.a\.kind/)
  expect(testApp({ MODELS_FILE: join(dir, 'none.yaml') })).rejects.toThrow(/cannot be read \(ENOENT\)/)
})

test('LiteLLM tells what it knows of its models', async () => {
  const models = [{ id: 'smart', object: 'model', created: 1, owned_by: 'openai' }]
  const info = {
    litellm_provider: 'anthropic',
    max_input_tokens: 5000,
    input_cost_per_token: 1e-6,
    output_cost_per_token: 1e-6,
  }
  const asked: string[] = []
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch(request) {
      const { pathname } = new URL(request.url)
      asked.push(`${pathname} ${request.headers.get('authorization')}`)
      if (pathname === '/model/info') return Response.json({ data: [{ model_name: 'smart', model_info: info }] })
      return Response.json({ object: 'list', data: models })
    },
  })
  const withLiteLlm = await testApp({ LITELLM_URL: `http://127.0.0.1:${server.port}`, LITELLM_MASTER_KEY: 'master' })
  const { token } = await withLiteLlm.signUp()
  const { data } = await (await withLiteLlm.call('/v1/models/anthropic', { token })).json()
  expect(data.models).toMatchObject([
    {
      id: 'smart',
      owned_by: 'openai',
      provider: 'anthropic',
      context_window: 5000,
      pricing: { source: 'litellm', input: 1 },
    },
  ])
  await withLiteLlm.call('/v1/models?format=rich', { token })
  expect(asked.filter((line) => line.startsWith('/model/info'))).toEqual(['/model/info Bearer master'])
  await withLiteLlm.close()
  await server.stop(true)
})
