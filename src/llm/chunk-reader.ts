import { FrameReader } from './frame-reader'
import { countsOf, dollars, reportedNanos, saysSomething } from './metering'
import type { Usage } from './port'
import { refusedInStream } from './upstream-error'

interface Chunk {
  error?: unknown
  choices?: {
    index?: number
    delta?: Record<string, unknown> | null
    finish_reason?: string | null
    logprobs?: unknown
  }[]
  usage?: Usage | null
  service_tier?: string | null
  /** Groq's, in the last chunk, also for those who did not ask for usage. */
  x_groq?: { usage?: Usage | null } | null
  [key: string]: unknown
}

/** Reads the stream of the OpenAI Chat Completions API. */
export class Chunks extends FrameReader {
  private metaSent = false
  private serviceTier: string | undefined
  private headerNanos: bigint | undefined
  /** Why each choice ended; null while it talks. */
  private readonly reasons = new Map<number, string | null>()

  /** LiteLLM's cost. In front of a stream it often does not know it yet, and says 0. */
  override onHeaders(headers: Headers): void {
    this.headerNanos = dollars(headers.get('x-litellm-response-cost')) || undefined
  }

  protected onFrame(data: string): void {
    if (data === '[DONE]') this.done = true
    else this.onChunk(JSON.parse(data) as Chunk)
  }

  private onChunk(chunk: Chunk): void {
    if (chunk.error) throw refusedInStream(chunk.error)
    if (!this.metaSent) this.meta(chunk)
    for (const choice of chunk.choices ?? []) {
      const index = choice.index ?? 0
      const before = this.events.length
      this.delta(index, choice.delta ?? {}, choice.logprobs)
      // One that says more after its end has not ended, and one that has not begun to end is cut when the stream is.
      if (this.events.length > before || !this.reasons.has(index)) this.talks(index)
      if (choice.finish_reason) this.finish(index, choice.finish_reason)
    }
    this.serviceTier = chunk.service_tier ?? this.serviceTier
    const usage = chunk.usage ?? chunk.x_groq?.usage
    if (usage) this.usage(usage)
  }

  private usage(usage: Usage): void {
    const serviceTier = typeof usage.service_tier === 'string' ? usage.service_tier : this.serviceTier
    const reported = reportedNanos(usage) ?? this.headerNanos
    const counts = countsOf(usage)
    // Whoever does not count is counted for: nothing is no usage, or it would be free.
    if (!saysSomething(counts)) return
    this.events.push({
      type: 'usage',
      usage,
      counts,
      ...(serviceTier === undefined ? {} : { serviceTier }),
      ...(reported === undefined ? {} : { reportedNanos: reported }),
    })
  }

  private talks(index: number): void {
    if (this.reasons.get(index) === null) return
    this.reasons.set(index, null)
    this.finished = false
  }

  /** Some say it twice. */
  private finish(index: number, reason: string): void {
    if (this.reasons.get(index) === reason) return
    this.reasons.set(index, reason)
    this.finished = !Array.from(this.reasons.values()).includes(null)
    this.events.push({ type: 'finish', index, reason })
  }

  private meta({ id, object, created, choices, usage, error, obfuscation, x_groq, ...fields }: Chunk): void {
    this.metaSent = true
    for (const key in fields) if (fields[key] === null) delete fields[key]
    this.events.push({ type: 'meta', fields })
  }

  private delta(index: number, delta: Record<string, unknown>, logprobs: unknown): void {
    const { role, ...said } = delta
    for (const key in said) if (said[key] === null || said[key] === '') delete said[key]
    const keys = Object.keys(said)
    if (keys.length === 0 && !logprobs) return
    const text = keys.length === 1 && index === 0 && !logprobs ? said.content : undefined
    if (typeof text === 'string') this.events.push(text)
    else
      this.events.push({
        type: 'delta',
        index,
        delta: said,
        ...(logprobs ? { logprobs } : {}),
      })
  }
}
