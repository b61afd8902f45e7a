import { Elysia } from 'elysia'
import type { Level } from '../limits/port'
import type { Rates, Verdict } from '../limits/rates'
import type { Auth } from './auth'
import { addressOf } from './client-address'
import { headersOf, type Words } from './rate-limit-headers'

export interface RateLimitOptions {
  rates: Pick<Rates, 'limitsAddresses' | 'address' | 'request'>
  trustProxy: boolean
  /** In whose words a path says how much is left, besides our own. */
  words: (path: string) => Words | undefined
}

/** What probes and those who watch us ask. It is never limited: a server that is busy is not a server that is gone. */
const ALWAYS = new Set(['/live', '/ready', '/health', '/metrics'])

/** Between the hooks of a request: how the buckets stand that it was taken from before it was known who sends it. */
export class RateLimit {
  private readonly before = new WeakMap<Request, Level[]>()

  constructor(private readonly options: RateLimitOptions) {}

  /** A request from an address. @throws AppError RATE_LIMIT_EXCEEDED */
  async arrived({ request, server, set }: Arriving): Promise<void> {
    const { rates, trustProxy } = this.options
    const path = pathOf(request.url)
    if (ALWAYS.has(path) || request.method === 'OPTIONS') return
    const verdict = await rates.address(addressOf({ request, server, trustProxy }))
    if (verdict) this.tell({ verdict, path, set, request })
  }

  /** A request of somebody who is known. @throws AppError RATE_LIMIT_EXCEEDED */
  async identified({ request, path, route, set, user }: Identified): Promise<void> {
    const asked = this.options.rates.request(user, operationOf(request.method, route))
    if (asked) this.tell({ verdict: await asked, path, set, request })
  }

  private tell({ verdict: { levels, refused }, path, set, request }: Telling): void {
    const all = [...(this.before.get(request) ?? []), ...levels]
    this.before.set(request, all)
    Object.assign(set.headers, headersOf(all, this.options.words(path)))
    if (refused) throw refused
  }
}

/** Counts requests by address, before anything else is done for them. Does nothing at all when no limit is set. */
export const rateLimitAddresses = (limit: RateLimit, { rates }: Pick<RateLimitOptions, 'rates'>) => {
  const plugin = new Elysia({ name: 'rate-limit' })
  if (!rates.limitsAddresses) return plugin
  return plugin.onRequest(async function addressLimit({ request, server, set }) {
    await limit.arrived({ request, server, set })
  })
}

/** Counts requests by person, tenant, key and operation. Stands behind `auth`, wherever that is used, and before the body is checked. */
export function rateLimited(auth: Auth, limit: RateLimit): Auth {
  auth.derive({ as: 'scoped' }, async function personLimit({ request, path, route, set, user }) {
    await limit.identified({ request, path, route, set, user })
    return {}
  })
  return auth
}

interface Outgoing {
  set: { headers: Record<string, unknown> }
}

interface Arriving extends Outgoing {
  request: Request
  server: Parameters<typeof addressOf>[0]['server']
}

interface Identified extends Outgoing {
  request: Request
  path: string
  route: string
  user: Parameters<Rates['request']>[0]
}

interface Telling extends Outgoing {
  verdict: Verdict
  path: string
  request: Request
}

/** What limits of operations are written for: one asked with HEAD does the work of the GET that it is. */
const operationOf = (method: string, route: string) =>
  `${method === 'HEAD' ? 'GET' : method} ${route.replace(/(.)\/$/, '$1')}`

/** Without parsing the whole address: this is done for every request. */
function pathOf(url: string): string {
  const from = url.indexOf('/', url.indexOf('://') + 3)
  const to = url.slice(from).search(/[?#]/)
  return to < 0 ? url.slice(from) : url.slice(from, from + to)
}
