import { createParser } from 'eventsource-parser'
import { AppError } from '../errors'
import type { ChatEvent, Usage } from './port'
import { refusedInStream } from './upstream-error'

/** Characters one SSE line may have. A provider that sends more is broken or hostile. */
const MAX_LINE = 4 * 1024 * 1024

interface Chunk {
  error?: unknown
  choices?: {
    index?: number
    delta?: Record<string, unknown> | null
    finish_reason?: string | null
    logprobs?: unknown
  }[]
  usage?: Usage | null
  [key: string]: unknown
}

/** Turns the text of an SSE body into events. Pure, so that it can be tested at every cut. */
export class Chunks {
  events: ChatEvent[] = []
  /** `[DONE]` was seen. */
  done = false
  /** Some choice has a finish reason. */
  finished = false
  private metaSent = false
  private failure: unknown
  private readonly parser = createParser({
    maxBufferSize: MAX_LINE,
    onEvent: ({ data }) => this.onData(data),
    onError: (error) => {
      if (error.type === 'max-buffer-size-exceeded') {
        this.failure ??= new AppError('UPSTREAM_ERROR', 'The model provider sent a line that is too long')
      }
    },
  })

  /** @throws AppError when the provider reported an error or sent what is not a chunk. */
  feed(text: string): void {
    this.parser.feed(text)
    if (this.failure && this.events.length === 0) throw this.failure
  }

  /** The events so far; then the failure that followed them, if any. */
  *take(): Generator<ChatEvent> {
    const { events } = this
    this.events = []
    yield* events
    if (this.failure) throw this.failure
  }

  private onData(data: string): void {
    if (this.done || this.failure) return
    if (data === '[DONE]') {
      this.done = true
      return
    }
    try {
      this.onChunk(JSON.parse(data) as Chunk)
    } catch (error) {
      this.failure =
        error instanceof AppError
          ? error
          : new AppError('UPSTREAM_ERROR', 'The model provider sent something that is not a chat chunk', {
              cause: error,
            })
    }
  }

  private onChunk(chunk: Chunk): void {
    if (chunk.error) throw refusedInStream(chunk.error)
    if (!this.metaSent) this.meta(chunk)
    for (const choice of chunk.choices ?? []) {
      const index = choice.index ?? 0
      this.delta(index, choice.delta ?? {}, choice.logprobs)
      if (choice.finish_reason) {
        this.finished = true
        this.events.push({
          type: 'finish',
          index,
          reason: choice.finish_reason,
        })
      }
    }
    if (chunk.usage) this.events.push({ type: 'usage', usage: chunk.usage })
  }

  private meta({ id, object, created, choices, usage, error, obfuscation, ...fields }: Chunk): void {
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
