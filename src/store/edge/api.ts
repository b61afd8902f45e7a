import { AppError } from '../../errors'
import { DEFAULT_TENANT } from '../../lib/ids'
import type { JsonAnswer, JsonCall, JsonClient } from '../../lib/json-client'
import { retry } from '../../lib/retry'
import type { Caller, Owner } from '../port'

export type EdgeCall = Pick<JsonCall, 'method' | 'path' | 'query' | 'body'> & {
  /** The row was written a moment ago: not finding it may be a replica that lags, to be asked again. */
  fresh?: boolean
}

export interface EdgeAnswer {
  /** What the envelope holds: `data`, and with a failure what came beside `error`. */
  data: unknown
  /** `missing`: 404. `conflict`: 409, which only functions with the extension answer. */
  outcome: 'ok' | 'missing' | 'conflict'
}

/** Says that the function takes the extension: the key `turn`, ids chosen by us, `rev`. Ours does; older ones do not. */
const EXTENSION_HEADER = 'x-conversation-manager'

/** The Edge Function `conversation-manager`, called in the name of the person who asks. */
export class EdgeApi {
  private extension: boolean | undefined

  constructor(
    private readonly client: JsonClient,
    /** For calls that belong to nobody; the project's public key. */
    private readonly anonKey: string,
  ) {}

  /** Whether the deployed function takes the extension; false until it has answered once. */
  get extended(): boolean {
    return this.extension ?? false
  }

  /** @throws AppError; see the table below. */
  async call(owner: Owner, call: EdgeCall): Promise<EdgeAnswer> {
    const caller = callerOf(owner)
    if (!caller) return { outcome: 'missing', data: undefined }
    const once = async () => {
      const answer = await this.once(caller, call)
      if (call.fresh && answer.outcome === 'missing') throw LAGGING
      return answer
    }
    try {
      return await retry(once, { attempts: 4, baseMs: 150, when: (error) => error === LAGGING })
    } catch (error) {
      if (error === LAGGING) return { outcome: 'missing', data: undefined }
      throw error
    }
  }

  /** @throws AppError NOT_SUPPORTED when the deployed function is one that cannot keep this. */
  async needExtension(what: string): Promise<void> {
    if (this.extension === undefined) await this.ping()
    if (!this.extended)
      throw new AppError('NOT_SUPPORTED', `${what} need the Edge Function in supabase/, or DATABASE_URL`)
  }

  /** Resolves when the function answers at all, whatever it says: without a person's token it may refuse. */
  async ping(): Promise<void> {
    this.learn(await this.client.call({ method: 'GET', path: '/', group: 'ping', token: this.anonKey }))
  }

  private async once({ token, requestId }: Caller, { method, path, query, body }: EdgeCall): Promise<EdgeAnswer> {
    const group = path.split('/')[1] ?? ''
    const answer = await this.client.call({
      method,
      path,
      group,
      token,
      requestId,
      ...(query ? { query } : {}),
      ...(body === undefined ? {} : { body }),
    })
    this.learn(answer)
    return understood(answer)
  }

  private learn({ headers, status }: JsonAnswer): void {
    if (headers.has(EXTENSION_HEADER)) this.extension = true
    // A refusal without it may be the gateway's; an answer is the function's own.
    else if (status < 300) this.extension = false
  }
}

const LAGGING = new Error('not found yet')

/** What the function's statuses mean here; 5xx, timeouts and unreadable answers are `JsonClient`'s. */
function understood({ status, body }: JsonAnswer): EdgeAnswer {
  const { success, data, error } = (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>
  if (status === 404) return { outcome: 'missing', data }
  if (status === 409) return { outcome: 'conflict', data }
  const cause = new Error(`HTTP ${status}: ${String(error ?? 'no error text').slice(0, 300)}`)
  if (status === 401 || status === 403) throw new AppError('UNAUTHORIZED', REFUSED, { cause })
  if (status === 405) {
    throw new AppError('NOT_SUPPORTED', 'The deployed Edge Function does not offer this. Deploy the one in supabase/', {
      cause,
    })
  }
  if (status === 400 || status === 413 || status === 422) {
    throw new AppError('BAD_REQUEST', 'The Edge Function rejected the request', { cause })
  }
  if (status >= 200 && status < 300 && success === true) return { outcome: 'ok', data }
  throw new AppError('UPSTREAM_ERROR', `The Edge Function failed (HTTP ${status})`, { cause })
}

const REFUSED =
  'Supabase does not accept this token any more: sign in again. If that does not help, the operator has to check that EDGE_FUNCTION_URL and the key that tokens are checked with belong to the same project'

/** Whose token to use. There is one tenant on that side, and without a token there is nobody to ask for. */
export function callerOf({ tenantId, caller }: Owner): Caller | undefined {
  return tenantId === DEFAULT_TENANT ? caller : undefined
}

/** An object from the other side, whatever it really is. */
export const record = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {}

/** A list from the other side. @throws AppError UPSTREAM_ERROR when it is none. */
export function list(value: unknown): Record<string, unknown>[] {
  if (Array.isArray(value)) return value.map(record)
  throw new AppError('UPSTREAM_ERROR', 'The Edge Function gave an answer of another shape than documented')
}

/** A string that must be there. @throws AppError UPSTREAM_ERROR when it is not. */
export function needed(row: Record<string, unknown>, name: string): string {
  const value = row[name]
  if (typeof value === 'string' && value) return value
  throw new AppError('UPSTREAM_ERROR', `The Edge Function gave an answer without ${name}`)
}
