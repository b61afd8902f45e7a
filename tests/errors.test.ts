import { afterAll, expect, test } from 'bun:test'
import { Pool } from 'pg'
import { AppError, toAppError } from '../src/errors'
import { openPostgres } from '../src/store/postgres'
import { sqlStore } from '../src/store/sql'
import { createDatabase } from './support/db'
import { FaultProxy } from './support/fault-proxy'

const closes: (() => Promise<unknown> | unknown)[] = []
afterAll(async () => {
  for (const close of closes.reverse()) await close()
})

test('what the service says on purpose stays as it is', () => {
  const error = new AppError('CONFLICT', 'Somebody was first')
  expect(toAppError(error)).toBe(error)
})

test('a mistake of ours shows nothing of itself', () => {
  const error = toAppError(new TypeError('secret is undefined'))
  expect(error).toMatchObject({ code: 'INTERNAL_ERROR', status: 500 })
  expect(error.message).not.toContain('secret')
})

test.each([
  ['a broken rule', Object.assign(new Error('duplicate key'), { code: '23505' })],
  ['a statement that is wrong', Object.assign(new Error('syntax error'), { code: '42601' })],
  ['a word that is no error', 'ECONNRESET'],
])('%s of the database is still a mistake of ours', (_, thrown) => {
  expect(toAppError(new Error('Failed query', { cause: thrown })).code).toBe('INTERNAL_ERROR')
})

test('a database that is cut off, ends its connections or is gone is to be asked again in a moment', async () => {
  const database = await createDatabase()
  closes.push(database.drop)
  const proxy = await FaultProxy.open(database.url)
  const opened = openPostgres({ url: proxy.through(database.url), poolSize: 2, onError: () => {} })
  const store = await sqlStore('postgres', opened)
  closes.push(() => store.close())
  const admin = new Pool({ connectionString: database.url, max: 1 })
  let times = 0
  /** @param breaks is given a condition that finds who is asking. */
  const failure = async (breaks: (asking: string) => unknown) => {
    // Another number each time: who was cut off may still be there.
    const query = `select pg_sleep(${20 + times++})`
    const asked = opened.pool.query(query).catch((error) => error)
    const asking = `datname = current_database() and state = 'active' and query = '${query}'`
    while ((await admin.query(`select 1 from pg_stat_activity where ${asking}`)).rowCount === 0) await Bun.sleep(10)
    await breaks(asking)
    return toAppError(new Error('Failed query', { cause: await asked }))
  }
  const again = { code: 'UPSTREAM_UNAVAILABLE', status: 503, retryAfter: 1 }
  expect(await failure(() => proxy.cut('end'))).toMatchObject(again)
  expect(await failure(() => proxy.cut('reset'))).toMatchObject(again)
  const terminate = (asking: string) =>
    admin.query(`select pg_terminate_backend(pid) from pg_stat_activity where ${asking}`)
  expect(await failure(terminate)).toMatchObject(again)
  await proxy.close()
  const gone = await store.ping().catch((error) => error)
  expect(toAppError(gone)).toMatchObject(again)
  await admin.end()
  const ended = await admin.query('select 1').catch((error) => error)
  expect(toAppError(ended)).toMatchObject(again)
}, 30_000)
