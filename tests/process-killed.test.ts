/** A server is killed in the middle of its answers; another one closes them, and their readers end with what was stored. */
import { afterAll, afterEach, beforeAll, expect, test } from 'bun:test'
import { begin, type Child, call, data, endChildren, newDir, signUp, start } from './support/child'
import { createDatabase } from './support/db'
import { type FakeProvider, startFakeProvider } from './support/fake-provider'
import { isLast, shown } from './support/pair'
import { readSse } from './support/read-sse'
import { testRedisUrl } from './support/redis'

let provider: FakeProvider
const drops: (() => Promise<void>)[] = []

beforeAll(() => {
  provider = startFakeProvider()
})
afterEach(async () => {
  for (const drop of drops.splice(0)) await drop()
})
afterAll(async () => {
  await endChildren()
  await provider.stop()
})

async function two(env: Record<string, string>): Promise<[Child, Child]> {
  const { url, drop } = await createDatabase()
  const both = {
    DATABASE_URL: url,
    JWT_SECRET_KEY: 'a secret that both servers know well',
    OPENAI_BASE_URL: provider.url,
    OPENAI_API_KEY: 'sk-test',
    LOG_LEVEL: 'silent',
    ...env,
  }
  const maker = await start({ ...both, DATA_DIR: newDir() })
  const other = await start({ ...both, DATA_DIR: newDir() })
  drops.push(async () => {
    for (const child of [maker, other]) child.kill('SIGKILL')
    await Promise.all([maker.exited, other.exited])
    await drop()
  })
  return [maker, other]
}

test.each([
  ['Redis', () => ({ REDIS_URL: testRedisUrl() })],
  ['the database only', () => ({})],
])(
  'with %s, readers elsewhere end with the stored text when the maker is killed',
  async (_, env) => {
    const [maker, other] = await two(env())
    const token = await signUp(maker)
    const { run, conversation, rest } = await begin(maker, token, { model: 'slow:20:5000', message: 'go' }, 't20 ')
    const elsewhere = readSse(await call(other, `/v1/runs/${run}/stream`, { token }))
    await Bun.sleep(2500)
    maker.kill('SIGKILL')
    await maker.exited
    const own = await rest.then(
      ({ frames }) => frames,
      () => [],
    )
    const { frames, done } = await elsewhere
    const [stored] = (await data(other, token, `/v1/conversations/${conversation}/messages`)).items.slice(-1)
    expect(stored).toMatchObject({ status: 'interrupted' })
    expect(stored.content).toContain('t20 ')
    expect(shown(frames)).toBe(stored.content)
    expect(frames.filter(isLast)).toHaveLength(1)
    expect(frames.at(-1)?.data.error).toMatchObject({ code: 'UPSTREAM_UNAVAILABLE' })
    expect(done).toBe(true)
    // Who was reading there comes here, with numbers that may have died with it.
    const after = own.at(-1)?.id ?? 9999
    const resumed = await readSse(await call(other, `/v1/runs/${run}/stream?after=${after}`, { token }))
    expect(shown(resumed.frames)).toBe(stored.content)
    const run2 = await data(other, token, `/v1/runs/${run}`)
    expect(run2.status).toBe('interrupted')
  },
  90_000,
)
