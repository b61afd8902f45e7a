import { createHash } from 'node:crypto'
import { ElysiaCustomStatusResponse } from 'elysia'
import { endedWell, isFinal, keptHeaders, MAX_KEPT, overheard, type WholeAnswer } from '../lib/kept-answer'
import { idempotencyKey } from '../lib/turn-options'
import type { Auth, Identity } from './auth'
import type { Claim, Idempotency } from './idempotency-keys'

/** What a request says, for whoever has to decide by it. */
export interface Said {
  body: unknown
  headers: Headers
}

export interface RepetitionsOptions {
  keys: Pick<Idempotency, 'begin'>
  /** Operations that look after their keys themselves, or have none; a function says of which requests that is so. */
  own: Record<string, true | ((said: Said) => boolean)>
  /** Operations that others are paid for: what a dead server began is not done again. */
  paid: readonly string[]
}

interface Asked {
  request: Request
  /** The template. */
  route: string
  user: Identity
}

/** Between the hooks of a request: what it said, and the claim it has on its key. */
export class Repetitions {
  private readonly bodies = new WeakMap<Request, { digest: string; value: unknown }>()
  private readonly claims = new WeakMap<Request, Claim>()

  constructor(private readonly options: RepetitionsOptions) {}

  /** For the body plugin: what was read cannot be read again. */
  readonly read = (request: Request, bytes: Uint8Array, value: unknown): void => {
    if (request.headers.has('idempotency-key')) this.bodies.set(request, { digest: sha256(bytes), value })
  }

  /** @returns the answer, when the request came before. */
  async begin({ request, route, user }: Asked): Promise<Response | undefined> {
    const { headers, method, url } = request
    if (method === 'GET' || method === 'HEAD' || !headers.has('idempotency-key')) return undefined
    const operation = `${method} ${route.replace(/\/$/, '')}`
    const { digest, value } = this.bodies.get(request) ?? unread(headers)
    const own = this.options.own[operation]
    if (typeof own === 'function' ? own({ body: value, headers }) : own) return undefined
    const key = idempotencyKey({ 'idempotency-key': headers.get('idempotency-key') ?? '' }) ?? ''
    const { pathname, search } = new URL(url)
    const fingerprint = sha256([method, pathname, search, digest].join('\n'))
    const once = this.options.paid.includes(operation)
    const begun = await this.options.keys.begin(user, { key, operation, fingerprint, once })
    if ('answer' in begun) return again(begun.answer)
    this.claims.set(request, begun.claim)
    return undefined
  }

  /** Before a success leaves. @returns what is to be sent in its place, if it can only be read once. */
  async succeeded(request: Request, answer: unknown, set: Outgoing): Promise<Response | undefined> {
    const claim = this.claims.get(request)
    if (!claim) return undefined
    if (answer instanceof Response) return this.overhear(claim, answer, set)
    const custom = answer instanceof ElysiaCustomStatusResponse
    const status = Number(custom ? answer.code : (set.status ?? 200))
    const body = Buffer.from(JSON.stringify(custom ? answer.response : answer))
    const headers = { ...keptHeaders(headersOf(set)), 'content-type': 'application/json' }
    await settle(claim, { status, headers, body })
    return undefined
  }

  /** Before a failure leaves. */
  readonly failed = async (request: Request, answer: Response): Promise<void> => {
    const claim = this.claims.get(request)
    if (!claim) return
    // Whatever it says, it was said because the client had left.
    if (request.signal.aborted) return claim.release()
    const body = await answer.clone().bytes()
    await settle(claim, { status: answer.status, headers: keptHeaders(answer.headers), body })
  }

  private async overhear(claim: Claim, answer: Response, set: Outgoing): Promise<Response> {
    const { status } = answer
    const headers = keptHeaders(answer.headers, headersOf(set))
    const type = headers['content-type'] ?? ''
    // One piece: kept before anybody can miss it.
    if (!answer.body || type.startsWith('application/json')) {
      await settle(claim, { status, headers, body: await answer.clone().bytes() })
      return answer
    }
    const body = overheard(answer.body, (bytes) =>
      bytes && endedWell(type, bytes) ? settle(claim, { status, headers, body: bytes }) : claim.release(),
    )
    return new Response(body, answer)
  }
}

/**
 * `Idempotency-Key`: a write that comes again, from the same caller with the same key, gets the answer of the first one. Stands
 * behind `auth`, wherever that is used.
 */
export function idempotency(auth: Auth, repetitions: Repetitions): Auth {
  auth.onBeforeHandle({ as: 'scoped' }, async function cameBefore({ request, route, user }) {
    return await repetitions.begin({ request, route, user })
  })
  auth.onAfterHandle({ as: 'scoped' }, async function keepAnswer({ request, responseValue, set }) {
    return await repetitions.succeeded(request, responseValue, set)
  })
  return auth
}

interface Outgoing {
  status?: number | string
  headers: Record<string, unknown>
}

const headersOf = ({ headers: { etag, location } }: Outgoing) =>
  new Headers({ ...(etag ? { etag: String(etag) } : {}), ...(location ? { location: String(location) } : {}) })

const settle = (claim: Claim, answer: WholeAnswer): Promise<void> =>
  isFinal(answer.status) && answer.body.length <= MAX_KEPT ? claim.keep(answer) : claim.release()

function again({ status, headers, body }: WholeAnswer): Response {
  // What has no content must not even have an empty one.
  return new Response(body.length > 0 ? Buffer.from(body) : null, {
    status,
    headers: { ...headers, 'idempotency-replayed': 'true' },
  })
}

const sha256 = (bytes: string | Uint8Array) => createHash('sha256').update(bytes).digest('hex')

/** A request without a body, or with one that is read later, piece by piece: it is known by its length. */
const unread = (headers: Headers) => ({ digest: sha256(headers.get('content-length') ?? ''), value: undefined })
