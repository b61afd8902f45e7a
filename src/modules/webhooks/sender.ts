import { Webhook } from 'standardwebhooks'
import type { OutboxEvent } from '../../store/port-money'
import { bodyOf } from './events'

/**
 * `gone`: the receiver wants no more of it. `retry`: it may work later. `why` is for logs: it quotes neither the address, which may
 * be a secret, nor what was answered.
 */
export type Attempt =
  | { outcome: 'delivered' }
  | { outcome: 'gone' | 'retry'; why: string; retryAfterMs?: number | undefined }

export interface SenderOptions {
  url: string
  /** Base64, with or without `whsec_` before it. */
  secret: string
  now: () => Date
  /** Milliseconds until the receiver must have answered. */
  timeoutMs?: number
}

/** Seconds that a receiver may ask to be left alone for; more is not believed. */
const LONGEST_WAIT = 86_400

/** Tells one receiver of events, each signed as the Standard Webhooks specification says. */
export class Sender {
  private readonly signer: Webhook

  constructor(private readonly options: SenderOptions) {
    this.signer = new Webhook(options.secret)
  }

  /** Never throws. */
  async send(event: OutboxEvent): Promise<Attempt> {
    const { url, now, timeoutMs = 10_000 } = this.options
    const body = bodyOf(event)
    const at = now()
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'user-agent': 'ai-chat-orchestrator',
          'webhook-id': event.id,
          'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
          'webhook-signature': this.signer.sign(event.id, at, body),
        },
        body,
        // What is signed for one address is nobody else's.
        redirect: 'manual',
        signal: AbortSignal.timeout(timeoutMs),
      })
      // The status says it all; what comes after it is not waited for.
      void response.body?.cancel().catch(() => {})
      return judged(response, at)
    } catch (error) {
      return { outcome: 'retry', why: reasonOf(error, timeoutMs) }
    }
  }
}

function judged({ ok, status, headers }: Response, at: Date): Attempt {
  if (ok) return { outcome: 'delivered' }
  const why = `The receiver answered HTTP ${status}`
  if (status === 410) return { outcome: 'gone', why }
  return { outcome: 'retry', why, retryAfterMs: waitOf(headers.get('retry-after'), at) }
}

/** `Retry-After` is a number of seconds or a date (RFC 9110, 10.2.3). @returns milliseconds. */
function waitOf(header: string | null, at: Date): number | undefined {
  if (!header) return undefined
  const seconds = /^\s*\d+\s*$/.test(header) ? Number(header) : (Date.parse(header) - at.getTime()) / 1000
  return Number.isNaN(seconds) ? undefined : 1000 * Math.min(LONGEST_WAIT, Math.max(0, seconds))
}

function reasonOf(error: unknown, timeoutMs: number): string {
  if (error instanceof DOMException && error.name === 'TimeoutError') {
    return `The receiver did not answer within ${timeoutMs / 1000} s`
  }
  const code = error instanceof Error && 'code' in error ? ` (${String(error.code)})` : ''
  return `The receiver cannot be reached${code}`
}
