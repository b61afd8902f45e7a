/** What is told afterwards is what happened: answers of a provider, and nothing else, add up to the usage and the books. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestApp, testApp } from '../support/app'
import { type FakeProvider, startFakeProvider } from '../support/fake-provider'
import { dataOf } from '../support/money'

let provider: FakeProvider
let app: TestApp
let dir: string
beforeAll(async () => {
  provider = startFakeProvider()
  dir = mkdtempSync(join(tmpdir(), 'orchestrator-story-'))
  const file = join(dir, 'models.yaml')
  writeFileSync(file, models(provider.url))
  app = await testApp({ MODELS_FILE: file, BILLING: 'prepaid', SIGNUP_CREDIT: '5' })
})
afterAll(async () => {
  await app.close()
  await provider.stop()
  rmSync(dir, { recursive: true })
})

const models = (url: string) => `
providers:
  fake: { kind: openai, base_url: ${url}, api_key: sk-test }
models:
  echo: { deployments: [{ provider: fake, info: { prices: { input: 1000, output: 3000 } } }] }
  "status:400": { deployments: [{ provider: fake, info: { prices: { input: 1000, output: 3000 } } }] }
`

interface Said {
  conversation_id: string
  message_id: string
  cost_usd: number
  usage: { prompt_tokens: number; completion_tokens: number }
}

test('the sums are those of the answers, the charges those of the sums, and the rest is what is left', async () => {
  const { token } = await app.signUp()
  const get = (path: string) => dataOf(app.call(path, { token }))
  expect(await get('/v1/user/balance')).toMatchObject({ balance_usd: 5, available_usd: 5, limited: true })
  const { id: keyId, key } = await dataOf(app.call('/v1/keys', { token, json: { name: 'mine' } }))

  const answers: Said[] = []
  for (const [credential, message] of [
    [token, 'one'],
    [token, 'one two three'],
    [key, 'one two'],
  ]) {
    const json = { message, model: 'echo', stream: false }
    answers.push(await (await app.call('/v1/chat/completions', { token: credential, json })).json())
  }
  const failed = await app.call('/v1/chat/completions', {
    token,
    json: { message: 'x', model: 'status:400', stream: false },
  })
  expect(failed.status).toBeGreaterThanOrEqual(400)

  const sum = (of: (said: Said) => number) => answers.reduce((total, said) => total + of(said), 0)
  const prompt = sum(({ usage }) => usage.prompt_tokens)
  const completion = sum(({ usage }) => usage.completion_tokens)
  const cost = (prompt * 1000 + completion * 3000) / 1e6
  const { totals } = await get('/v1/user/usage')
  expect(totals).toMatchObject({ answers: 4, completed: 3, failed: 1, success_rate: 0.75 })
  expect(totals).toMatchObject({ prompt_tokens: prompt, completion_tokens: completion, unpriced: 0, estimated: 0 })
  expect(totals.cost_usd).toBeCloseTo(cost, 9)
  expect(sum(({ cost_usd }) => cost_usd)).toBeCloseTo(cost, 9)

  const { keys } = await get('/v1/user/usage?group_by=key')
  expect(keys.map((one: { key_id: string | null; answers: number }) => [one.key_id, one.answers]).sort()).toEqual(
    [
      [null, 3],
      [keyId, 1],
    ].sort(),
  )
  const { conversations } = await get('/v1/user/usage?group_by=conversation')
  const known = new Set(conversations.map((one: { conversation_id: string }) => one.conversation_id))
  for (const { conversation_id } of answers) expect(known).toContain(conversation_id)

  const { items } = await get('/v1/user/transactions')
  const charges = items.filter(({ kind }: { kind: string }) => kind === 'charge')
  expect(charges.map(({ message_id }: { message_id: string }) => message_id)).toEqual(
    answers.map(({ message_id }) => message_id).reverse(),
  )
  expect(items.at(-1)).toMatchObject({ kind: 'grant', amount_usd: 5 })
  const balance = await get('/v1/user/balance')
  expect(balance).toMatchObject({ reserved_usd: 0, limited: true })
  expect(balance.balance_usd).toBeCloseTo(5 - cost, 9)
  expect(balance.available_usd).toBe(balance.balance_usd)
  expect(balance.spent_month_usd).toBeCloseTo(cost, 9)
})
