/** `Idempotency-Key` with several servers on one database, one of which dies. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { newId } from '../src/lib/ids'
import { type Child, endChildren, newDir, signUp, start } from './support/child'
import { createDatabase } from './support/db'
import { type FakeProvider, startFakeProvider } from './support/fake-provider'
import { until } from './support/servers'

let provider: FakeProvider
let drop: () => Promise<void>
let one: Child
let other: Child
let token: string

beforeAll(async () => {
  provider = startFakeProvider()
  const database = await createDatabase()
  drop = database.drop
  const env = {
    DATABASE_URL: database.url,
    OPENAI_BASE_URL: provider.url,
    OPENAI_API_KEY: 'sk-test',
    JWT_SECRET_KEY: 'a secret that both of these servers know',
  }
  one = await start({ ...env, DATA_DIR: newDir() })
  other = await start({ ...env, DATA_DIR: newDir() })
  token = await signUp(one)
}, 60_000)
afterAll(async () => {
  await endChildren()
  await provider.stop()
  await drop()
})

const post = ({ base }: Child, path: string, key: string, json: object) =>
  fetch(base + path, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'idempotency-key': key },
    body: JSON.stringify(json),
  })

test('does once what two servers are asked fifty times', async () => {
  const key = newId()
  const answers = await Promise.all(
    Array.from({ length: 50 }, (_, i) => post(i % 2 ? one : other, '/v1/keys', key, { name: 'laptop' })),
  )
  const made = answers.filter(({ status }) => status === 201)
  expect(new Set(await Promise.all(made.map((answer) => answer.text()))).size).toBe(1)
  expect(answers.filter(({ status }) => status !== 201 && status !== 409)).toEqual([])
  const keys = await fetch(`${one.base}/v1/keys`, { headers: { authorization: `Bearer ${token}` } })
  expect((await keys.json()).data).toHaveLength(1)
  const again = [
    await post(one, '/v1/keys', key, { name: 'laptop' }),
    await post(other, '/v1/keys', key, { name: 'laptop' }),
  ]
  expect(await again[0]?.text()).toBe(await again[1]?.text())
})

test('what a killed server asked a model for is not asked for again', async () => {
  const key = newId()
  const question = { model: 'slow:20:2000', stream: true, messages: [{ role: 'user', content: 'go' }] }
  const cut = await post(one, '/v1/chat/completions', key, question)
  await cut.body?.getReader().read()
  const meanwhile = await post(other, '/v1/chat/completions', key, question)
  expect([meanwhile.status, meanwhile.headers.get('retry-after')]).toEqual([409, '1'])
  one.kill('SIGKILL')
  await one.exited
  let answer: Response | undefined
  await until(async () => {
    answer = await post(other, '/v1/chat/completions', key, question)
    return answer.headers.get('retry-after') === null
  }, 25_000)
  expect([answer?.status, await answer?.json()]).toMatchObject([
    409,
    { error: { message: expect.stringContaining('the answer is lost') } },
  ])
}, 40_000)
