import { forge, seconds } from '../support/forge'
import { connectRedis } from '../support/redis'
import { CAPACITY, measureExactness, PER_SECOND } from './rates'
import { openWorld, SECRET } from './world'

const MOST_DEVIATION = 0.01

/** Three servers as processes, asked over HTTP by one person. One of them has a clock of its own, where that can be had. */
export async function runRates() {
  const world = await openWorld({ env: { RATE_LIMIT_REQUESTS: `${PER_SECOND * 60}:${CAPACITY}` } })
  const redis = await connectRedis(world.redis.url)
  const claims = { sub: crypto.randomUUID(), exp: seconds(3600) }
  const headers = { authorization: `Bearer ${forge({ alg: 'HS256', typ: 'JWT' }, claims, SECRET)}` }
  const statuses: Record<string, number> = {}
  const get = (server: number, path: string) => fetch(`${world.instances[server]?.base}${path}`, { headers })
  try {
    // Who nobody knows yet is written down first, by each of them.
    for (const server of [0, 1, 2]) await (await get(server, '/v1/runs')).text()
    await redis.del(await redis.keys('*:user:*'))
    const measured = await measureExactness({
      redis,
      servers: 3,
      requests: 10_000,
      async ask(server) {
        const answer = await get(server, '/v1/runs?limit=1')
        await answer.arrayBuffer()
        statuses[answer.status] = (statuses[answer.status] ?? 0) + 1
        return answer.status === 200
      },
    })
    const faults = world.instances.flatMap((instance) => instance.complaints())
    if (measured.deviation > MOST_DEVIATION)
      faults.push(
        `What was admitted was off by ${measured.deviation}. A busy machine makes servers count alone: see "alone"`,
      )
    const alone = world.instances.flatMap((instance) => instance.logs().match(/counted by this server alone/g) ?? [])
    return { ...measured, statuses, alone: alone.length, skewed: world.skewed, faults }
  } finally {
    redis.disconnect()
    await world.close()
  }
}
