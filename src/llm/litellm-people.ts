import { AppError } from '../errors'
import { nanosOf } from '../lib/money'

export interface LiteLlmPeopleOptions {
  /** Of the proxy, with or without `/v1`. */
  baseUrl: string
  masterKey: string
  /** Milliseconds that making a key may take, and reading a spend. */
  timeouts?: { make: number; read: number }
}

/** What the proxy says somebody has spent there, in nano-dollars. */
export interface LiteLlmSpend {
  spendNanos: bigint
  /** Null: there is no limit. */
  maxBudgetNanos: bigint | null
}

/**
 * People at a LiteLLM proxy, by the administrator's part of its API, which needs the proxy to have a database.
 * https://docs.litellm.ai/docs/proxy/virtual_keys
 */
export class LiteLlmPeople {
  private readonly timeouts

  constructor(private readonly options: LiteLlmPeopleOptions) {
    this.timeouts = options.timeouts ?? { make: 10_000, read: 2000 }
  }

  /**
   * Makes the person there, with a key that asks for any model in their name. Somebody who is there already, because an answer was
   * lost, gets another key. @throws AppError UPSTREAM_ERROR, UPSTREAM_UNAVAILABLE; none of them holds what was answered.
   */
  async makeKey({ userId, email }: { userId: string; email: string | null }): Promise<string> {
    const person = { user_id: userId, user_role: 'internal_user', auto_create_key: true }
    const made = await this.ask('/user/new', email ? { ...person, user_email: email } : person)
    if (made.key) return made.key
    // It may be the address that is somebody's there: that somebody is not who signs in here.
    const nameless = made.taken && email ? await this.ask('/user/new', person) : made
    if (nameless.key) return nameless.key
    const again = nameless.taken ? await this.ask('/key/generate', { user_id: userId }) : nameless
    if (again.key) return again.key
    throw new AppError('UPSTREAM_ERROR', `The LiteLLM proxy made no key (HTTP ${again.status})`)
  }

  /** @returns undefined for somebody it does not know. @throws AppError UPSTREAM_ERROR, UPSTREAM_UNAVAILABLE */
  async spend(userId: string): Promise<LiteLlmSpend | undefined> {
    const query = new URLSearchParams({ user_id: userId })
    const { status, body } = await this.call(`/user/info?${query}`, this.timeouts.read)
    if (status === 404) return undefined
    const { spend, max_budget } = record(record(body).user_info)
    const [spendNanos, maxBudgetNanos] = [amount(spend ?? 0), amount(max_budget)]
    if (status !== 200 || spendNanos === undefined || (maxBudgetNanos === undefined && max_budget != null)) {
      throw new AppError('UPSTREAM_ERROR', `The LiteLLM proxy told no spend (HTTP ${status})`)
    }
    return { spendNanos, maxBudgetNanos: maxBudgetNanos ?? null }
  }

  private async ask(path: string, sent: object) {
    const { status, body, text } = await this.call(path, this.timeouts.make, sent)
    const { key } = record(body)
    const good = status === 200 && typeof key === 'string' && /^\S+$/.test(key)
    // Newer ones answer 409, older ones 400.
    return { status, key: good ? key : undefined, taken: status >= 400 && /already exists/i.test(text) }
  }

  private async call(path: string, timeoutMs: number, sent?: object) {
    const { baseUrl, masterKey } = this.options
    try {
      const response = await fetch(baseUrl.replace(/\/v1$/, '') + path, {
        method: sent ? 'POST' : 'GET',
        headers: {
          authorization: `Bearer ${masterKey}`,
          ...(sent ? { 'content-type': 'application/json' } : {}),
        },
        ...(sent ? { body: JSON.stringify(sent) } : {}),
        // The master key is for this host alone.
        redirect: 'manual',
        signal: AbortSignal.timeout(timeoutMs),
      })
      const text = await response.text()
      return { status: response.status, text, body: parsed(text) }
    } catch (cause) {
      throw new AppError('UPSTREAM_UNAVAILABLE', 'The LiteLLM proxy cannot be reached', { cause })
    }
  }
}

const amount = (usd: unknown) => (typeof usd === 'number' && usd >= 0 ? nanosOf(usd) : undefined)

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const record = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
