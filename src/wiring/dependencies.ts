import type Redis from 'ioredis'
import type { Router } from '../llm/router'
import type { Dependency, RedisUse } from '../modules/health/service'
import type { Store } from '../store/port'

export function dependencies({ store, redis, redisUses, models }: Dependencies) {
  const list: Dependency[] = [
    { name: store.kind === 'edge' ? 'edge_function' : 'database', required: true, check: () => store.ping() },
  ]
  if (redis) list.push({ name: 'redis', required: false, check: () => redisServes(redis, redisUses) })
  for (const { name, check } of models.checks()) list.push({ name: `llm:${name}`, required: false, check })
  return list
}

interface Dependencies {
  store: Store
  redis: Redis | undefined
  redisUses: RedisUse[]
  models: Router
}

/** A Redis that answers may still be full, or a replica: then it does not serve. @returns what is done without it. */
async function redisServes(redis: Redis, uses: RedisUse[]) {
  await redis.ping()
  const without = uses.filter(({ mode }) => mode() === 'local').map(({ name }) => name)
  return without.length > 0 ? { degraded: `done without it: ${without.join(', ')}` } : undefined
}
