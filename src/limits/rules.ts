import type { Rate } from '../lib/rate'
import type { User } from '../store/port'
import type { Bucket, Slots } from './port'

/** What the installation sets for everybody. What is absent is not limited. */
export interface RateSettings {
  /** Requests of each person. */
  requests: Rate | undefined
  /** Tokens of each person. */
  tokens: Rate | undefined
  /** Answers that are made for one person at once. */
  streams: number | undefined
  /** Requests with each API key. */
  key: Rate | undefined
  /** Requests from each address, whoever sends them. */
  address: Rate | undefined
  /** Requests of each person to some operations: `POST /v1/embeddings`. */
  routes: ReadonlyMap<string, Rate>
}

/** Limits of a tenant or of a person, as administrators set them. */
export type OwnLimits = Record<string, number> | null | undefined

type Asker = Pick<User, 'tenantId' | 'userId' | 'keyId' | 'rateLimits'>

const bucket = (name: string, key: string, { perMinute, burst }: Rate): Bucket => ({
  name,
  key: `${name}:${key}`,
  capacity: burst,
  perSecond: perMinute / 60,
  cost: 1,
})

export const addressBucket = (address: string, rate: Rate): Bucket => bucket('address', address, rate)

/** What a request is taken from: what was set for this person goes before what is set for all. */
export function requestBuckets(user: Asker, operation: string, settings: RateSettings): Bucket[] {
  const { userId, tenantId, keyId, rateLimits: limits } = user
  const own = requestsOf(limits?.user) ?? settings.requests
  const tenant = requestsOf(limits?.tenant)
  const route = settings.routes.get(operation)
  return [
    ...(own ? [bucket('user', userId, own)] : []),
    ...(tenant ? [bucket('tenant', tenantId, tenant)] : []),
    ...(keyId && settings.key ? [bucket('key', keyId, settings.key)] : []),
    ...(route ? [bucket('route', `${operation}:${userId}`, route)] : []),
  ]
}

/** What the tokens of an answer are taken from. The cost is for the caller to fill in. */
export function tokenBuckets({ userId, tenantId, rateLimits: limits }: Asker, settings: RateSettings): Bucket[] {
  const own = tokensOf(limits?.user) ?? settings.tokens
  const tenant = tokensOf(limits?.tenant)
  return [
    ...(own ? [bucket('user-tokens', userId, own)] : []),
    ...(tenant ? [bucket('tenant-tokens', tenantId, tenant)] : []),
  ]
}

/** The places that an answer takes while it is made. */
export function slotsOf({ userId, tenantId, rateLimits: limits }: Asker, settings: RateSettings): Slots[] {
  const own = limits?.user?.concurrent_streams ?? settings.streams
  const tenant = limits?.tenant?.concurrent_streams
  return [
    ...(own ? [{ name: 'user-streams', key: `user-streams:${userId}`, most: own }] : []),
    ...(tenant ? [{ name: 'tenant-streams', key: `tenant-streams:${tenantId}`, most: tenant }] : []),
  ]
}

const requestsOf = (limits: OwnLimits) => rateOf(limits?.requests_per_minute, limits?.requests_at_once)
const tokensOf = (limits: OwnLimits) => rateOf(limits?.tokens_per_minute)

const rateOf = (perMinute: number | undefined, burst = perMinute): Rate | undefined =>
  perMinute && burst ? { perMinute, burst } : undefined
