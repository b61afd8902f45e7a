import { expect, test } from 'bun:test'
import { Patience } from '../../src/lib/patience'

const late = () => new Promise<never>(() => {})

test('gives what comes in time, and what it fails with', async () => {
  const patience = new Patience('Redis', 50)
  expect(await patience.for(Promise.resolve('here'))).toBe('here')
  expect(await patience.for(Promise.reject(new Error('READONLY'))).catch(String)).toBe('Error: READONLY')
})

test('gives up what is late, each after its own time', async () => {
  const patience = new Patience('Redis', 40)
  const since = performance.now()
  const first = patience.for(late()).catch((error) => `${error.message} ${performance.now() - since >= 39}`)
  await Bun.sleep(20)
  const second = patience.for(late()).catch(() => performance.now() - since >= 59)
  const third = patience.for(Bun.sleep(5).then(() => 'in time'))
  expect(await first).toBe('Redis did not answer within 40 ms true')
  expect(await third).toBe('in time')
  expect(await second).toBe(true)
})

test('takes what has come while the process was busy', async () => {
  const answer = new Patience('Redis', 10).for(Bun.sleep(15).then(() => 'here'))
  Bun.sleepSync(30)
  expect(await answer).toBe('here')
})

test('gives each a last look of its own, however long the process was busy with those before', async () => {
  const patience = new Patience('Redis', 20)
  const first = patience.for(late()).catch(String)
  await Bun.sleep(10)
  const answer = new Promise((resolve) => setTimeout(() => setImmediate(() => resolve('here')), 25))
  const second = patience.for(answer).catch(String)
  setTimeout(() => Bun.sleepSync(30), 11)
  expect(await second).toBe('here')
  expect(await first).toBe('Error: Redis did not answer within 20 ms')
})
