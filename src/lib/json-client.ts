import {
  BrokenCircuitError,
  BulkheadRejectedError,
  bulkhead,
  ConsecutiveBreaker,
  circuitBreaker,
  handleWhen,
  type IPolicy,
} from 'cockatiel'
import { AppError } from '../errors'
import { retry } from './retry'
import { hashToken } from './tokens'

export interface JsonClientOptions {
  /** What to call the other side in errors: "The Edge Function". */
  name: string
  baseUrl: string
  /** Sent with every call. */
  headers: Record<string, string>
  /** Milliseconds a call may take, the reading of its answer included. */
  timeoutMs: number
  /** Calls on their way at once; ten times as many may wait. */
  concurrency: number
  /** One line per call, for the log. */
  onCall?: (line: CallLine) => void
}

export interface CallLine {
  service: string
  group: string
  method: string
  /** HTTP status, or why there was none. */
  outcome: number | string
  ms: number
  request_id: string | null
}

export interface JsonCall {
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  path: string
  query?: Record<string, string | number>
  /** Sent as JSON; a string is JSON already. */
  body?: object | string
  headers?: Record<string, string>
  /** Calls that fail together: one breaker each. */
  group: string
  /** In whose name; `Authorization: Bearer`. */
  token: string
  requestId?: string | undefined
}

export interface JsonAnswer {
  /** Below 500. */
  status: number
  headers: Headers
  /** Parsed JSON; undefined for an empty body. */
  body: unknown
}

/** Failures in a row after which a group of calls is not tried any more, and the pause before the next try. */
const FAILURES = 5
const PAUSE_MS = 5000
/** Bytes of an answer: what bounds the memory of one call. */
const MAX_ANSWER = 64 * 1024 * 1024
/** Tries of a call that may be repeated. */
const ATTEMPTS = 3

const isFault = (error: unknown) => error instanceof AppError && error.code.startsWith('UPSTREAM_')

/** The connection was never made, so nothing can have happened on the other side. */
const isUnsent = (error: unknown) =>
  error instanceof AppError &&
  error.cause instanceof Error &&
  'code' in error.cause &&
  ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH'].includes(String(error.cause.code))

/**
 * Calls another service that speaks JSON. Reads are repeated when they fail, writes only when they were never sent;
 * reads that are alike and under way at once are one. A service that keeps failing is left alone for a while.
 */
export class JsonClient {
  private readonly breakers = new Map<string, IPolicy>()
  private readonly gate
  private readonly reading = new Map<string, Promise<JsonAnswer>>()

  constructor(private readonly options: JsonClientOptions) {
    this.gate = bulkhead(options.concurrency, options.concurrency * 10)
  }

  /**
   * @returns any answer below 500 that is JSON or empty.
   * @throws AppError UPSTREAM_UNAVAILABLE, UPSTREAM_TIMEOUT, UPSTREAM_ERROR or RATE_LIMIT_EXCEEDED.
   */
  call(call: JsonCall): Promise<JsonAnswer> {
    if (call.method !== 'GET') return this.repeated(call, isUnsent)
    const key = `${hashToken(call.token)} ${urlOf(this.options.baseUrl, call)}`
    const known = this.reading.get(key)
    if (known) return known
    const reading = this.repeated(call, isFault).finally(() => this.reading.delete(key))
    this.reading.set(key, reading)
    return reading
  }

  private repeated(call: JsonCall, when: (error: unknown) => boolean): Promise<JsonAnswer> {
    const patience = { attempts: ATTEMPTS, baseMs: 100, when: (e: unknown) => !isPaused(e) && !isSlow(e) && when(e) }
    return retry(() => this.guarded(call), patience)
  }

  private async guarded(call: JsonCall): Promise<JsonAnswer> {
    try {
      return await this.breaker(call.group).execute(() => this.gate.execute(() => this.once(call)))
    } catch (error) {
      if (error instanceof AppError) throw error
      const why = error instanceof BrokenCircuitError ? 'keeps failing and is left alone' : 'has too many calls waiting'
      throw new AppError('UPSTREAM_UNAVAILABLE', `${this.options.name} ${why} for the moment`, {
        retryAfter: PAUSE_MS / 1000,
        cause: error,
      })
    }
  }

  private breaker(group: string): IPolicy {
    const known = this.breakers.get(group)
    if (known) return known
    const made = circuitBreaker(handleWhen(isFault), {
      halfOpenAfter: PAUSE_MS,
      breaker: new ConsecutiveBreaker(FAILURES),
    })
    this.breakers.set(group, made)
    return made
  }

  private async once(call: JsonCall): Promise<JsonAnswer> {
    const { name, onCall } = this.options
    const began = performance.now()
    let outcome: number | string = 'failed'
    try {
      const response = await this.send(call)
      outcome = response.status
      return await this.understood(response)
    } catch (error) {
      const failure = this.failure(error)
      if (typeof outcome === 'string') outcome = failure.code
      throw failure
    } finally {
      const ms = Math.round((performance.now() - began) * 100) / 100
      const { group, method, requestId = null } = call
      onCall?.({ service: name, group, method, outcome, ms, request_id: requestId })
    }
  }

  private send(call: JsonCall): Promise<Response> {
    const { baseUrl, headers, timeoutMs } = this.options
    const body = typeof call.body === 'object' ? JSON.stringify(call.body) : call.body
    return fetch(urlOf(baseUrl, call), {
      method: call.method,
      headers: {
        ...headers,
        authorization: `Bearer ${call.token}`,
        accept: 'application/json',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...call.headers,
      },
      ...(body === undefined ? {} : { body }),
      signal: AbortSignal.timeout(timeoutMs),
      // A redirect could carry the caller's token to another host.
      redirect: 'error',
    })
  }

  private async understood(response: Response): Promise<JsonAnswer> {
    const { name } = this.options
    const { status, headers } = response
    const text = await boundedText(response)
    if (status === 429) {
      const retryAfter = Math.min(3600, Number(headers.get('retry-after')) || 1)
      throw new AppError('RATE_LIMIT_EXCEEDED', `${name} has had too many requests`, { retryAfter })
    }
    const body = text === '' ? undefined : parsed(text)
    const cause = new Error(`HTTP ${status}: ${messageOf(body)}`)
    if (status >= 500) throw new AppError('UPSTREAM_ERROR', `${name} failed (HTTP ${status})`, { cause })
    if (body instanceof SyntaxError) {
      throw new AppError('UPSTREAM_ERROR', `${name} gave an answer that is not JSON (HTTP ${status})`, { cause })
    }
    return { status, headers, body }
  }

  private failure(error: unknown): AppError {
    if (error instanceof AppError) return error
    const { name, timeoutMs } = this.options
    if (error instanceof DOMException && error.name === 'TimeoutError') {
      return new AppError('UPSTREAM_TIMEOUT', `${name} did not answer within ${timeoutMs / 1000} s`, { cause: error })
    }
    return new AppError('UPSTREAM_UNAVAILABLE', `${name} cannot be reached`, { retryAfter: 1, cause: error })
  }
}

/** Refused by ourselves: trying again would only add to the load. */
const isPaused = (error: unknown) =>
  error instanceof AppError &&
  (error.cause instanceof BrokenCircuitError || error.cause instanceof BulkheadRejectedError)
/** Whoever has waited that long once is not made to wait three times. */
const isSlow = (error: unknown) => error instanceof AppError && error.code === 'UPSTREAM_TIMEOUT'

function urlOf(baseUrl: string, { path, query }: JsonCall): string {
  if (!query) return baseUrl + path
  const search = new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)]))
  return `${baseUrl}${path}?${search}`
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    return error
  }
}

/** What the other side says went wrong, for our log: Supabase's parts call it `error`, `message` or `msg`. */
function messageOf(body: unknown): string {
  if (body instanceof SyntaxError || typeof body !== 'object' || body === null) return 'not JSON'
  const { error, message, msg } = body as Record<string, unknown>
  return String(error ?? message ?? msg ?? '').slice(0, 300)
}

async function boundedText(response: Response): Promise<string> {
  const parts: Uint8Array[] = []
  let size = 0
  for await (const part of response.body ?? []) {
    size += part.length
    if (size > MAX_ANSWER) throw new AppError('UPSTREAM_ERROR', 'An answer was larger than 64 MB and was not read')
    parts.push(part)
  }
  return Buffer.concat(parts).toString()
}
