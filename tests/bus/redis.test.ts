import { afterAll, afterEach, beforeAll, expect, test } from 'bun:test'
import type Redis from 'ioredis'
import { RedisBus } from '../../src/bus/redis'
import { connectRedis, type OwnRedis, ownRedis } from '../support/redis'
import { until } from '../support/servers'
import { busContract } from './contract'

busContract('the Redis bus', async () => {
  const redis = await connectRedis()
  const bus = new RedisBus(redis)
  return {
    bus,
    async close() {
      await bus.close()
      redis.disconnect()
    },
  }
})

let server: OwnRedis
const opened: { redis: Redis; bus: RedisBus }[] = []

beforeAll(async () => {
  server = await ownRedis()
})
afterEach(async () => {
  for (const { redis, bus } of opened.splice(0)) {
    await bus.close()
    redis.disconnect()
  }
})
afterAll(() => server.close())

/** A server's bus, listening. */
async function join(): Promise<{ bus: RedisBus; redis: Redis }> {
  const redis = await connectRedis(server.url)
  const bus = new RedisBus(redis)
  opened.push({ redis, bus })
  let listening = false
  const end = bus.subscribe(
    'ready',
    () => {},
    () => {
      listening = true
    },
  )
  await until(() => listening)
  end()
  return { bus, redis }
}

/** What Redis counts of the listeners of a topic. */
const listeners = async (redis: Redis, topic: string) =>
  Number(((await redis.pubsub('NUMSUB', `aco:bus:${topic}`)) as [string, number])[1])

/** Subscribes and waits until Redis knows. */
async function subscribed(on: { bus: RedisBus; redis: Redis }, topic: string, onGap?: () => void) {
  const heard: string[] = []
  const before = await listeners(on.redis, topic)
  on.bus.subscribe(topic, (message) => heard.push(message), onGap)
  await until(async () => (await listeners(on.redis, topic)) > before)
  return heard
}

test('tells the other servers, each once, and of their topics only', async () => {
  const [one, two, three] = [await join(), await join(), await join()]
  const heard = [await subscribed(one, 'a'), await subscribed(two, 'a'), await subscribed(three, 'b')]
  one.bus.publish('a', 'from one')
  two.bus.publish('a', 'from two')
  three.bus.publish('b', 'from three')
  await until(() => heard.flat().length >= 5)
  await Bun.sleep(50)
  expect(heard[0]?.sort()).toEqual(['from one', 'from two'])
  expect(heard[1]?.sort()).toEqual(['from one', 'from two'])
  expect(heard[2]).toEqual(['from three'])
})

test('asks for a topic once, however many listen, until the last has gone', async () => {
  const { bus, redis } = await join()
  const ends = [1, 2, 3].map(() => bus.subscribe('many', () => {}))
  await until(async () => (await listeners(redis, 'many')) === 1)
  ends[0]?.()
  ends[1]?.()
  const heard: string[] = []
  bus.subscribe('fence', () => {})
  await until(async () => (await listeners(redis, 'fence')) === 1)
  expect(await listeners(redis, 'many')).toBe(1)
  ends[2]?.()
  await until(async () => (await listeners(redis, 'many')) === 0)
  bus.subscribe('many', (message) => heard.push(message))
  await until(async () => (await listeners(redis, 'many')) === 1)
  const other = await join()
  other.bus.publish('many', 'again')
  await until(() => heard.length > 0)
  expect(heard).toEqual(['again'])
})

test('goes on alone while Redis is away, and says afterwards that something may be missing', async () => {
  const [one, two] = [await join(), await join()]
  let gaps = 0
  const heard = await subscribed(two, 'a', () => gaps++)
  const own = await subscribed(one, 'a')
  expect(gaps).toBe(0)
  await server.kill()
  await until(() => one.redis.status !== 'ready')
  one.bus.publish('a', 'lost')
  expect(own).toEqual(['lost'])
  await server.start()
  await until(() => gaps > 0)
  await until(async () => one.redis.status === 'ready' && (await listeners(one.redis, 'a')) === 2)
  one.bus.publish('a', 'found')
  await until(() => heard.length > 0)
  expect(heard).toEqual(['found'])
})

test('tells of a gap when only the sender was cut off', async () => {
  const [one, two] = [await join(), await join()]
  let gaps = 0
  const heard = await subscribed(two, 'a', () => gaps++)
  one.redis.disconnect()
  await until(() => one.redis.status === 'end')
  one.bus.publish('a', 'lost')
  await one.redis.connect()
  await until(() => gaps > 0)
  expect(heard).toEqual([])
})

test('what a listener cannot read counts as missed, and what follows is heard', async () => {
  const { bus, redis } = await join()
  const heard: unknown[] = []
  let gaps = 0
  bus.subscribe(
    'facts',
    (message) => void heard.push(JSON.parse(message)),
    () => gaps++,
  )
  await until(async () => (await listeners(redis, 'facts')) === 1)
  const [other, before] = [await join(), gaps]
  await other.redis.publish('aco:bus:facts', 'of another program')
  other.bus.publish('facts', '{"kind":"balance"}')
  await until(() => heard.length > 0)
  expect(heard).toEqual([{ kind: 'balance' }])
  expect(gaps).toBe(before + 1)
})
