import { sseFrame } from '../lib/sse'
import type { RunBatch, RunEvent } from '../runs/port'

/** What all chunks of one answer have in common. */
export interface ChunkHeader {
  /** `chatcmpl-…` */
  id: string
  /** Unix seconds. */
  created: number
  model: string
}

/** How one event is put into words for the wire. */
export type Frame = (data: string, seq?: number, event?: 'restart') => string

export const DONE = 'data: [DONE]\n\n'

/**
 * Writes `chat.completion.chunk` frames. The parts that never change are put together once: with twenty thousand
 * chunks a second, building the whole object each time would be most of the work.
 */
export class ChunkWriter {
  private head: string
  private tail: string

  /** @param usageSlot write `"usage": null` on every chunk, as OpenAI does when usage was asked for. */
  constructor(
    private readonly header: ChunkHeader,
    private readonly usageSlot: boolean,
    private readonly frame: Frame = sseFrame,
  ) {
    this.head = ''
    this.tail = ''
    this.meta({})
  }

  /** Facts that every chunk from now on carries (`system_fingerprint`, …). */
  meta(fields: Record<string, unknown>): void {
    const { id, created, model } = this.header
    const top = JSON.stringify({
      id,
      object: 'chat.completion.chunk',
      created,
      model,
      ...fields,
    })
    this.head = `${top.slice(0, -1)},"choices":[{"index":`
    this.tail = `}]${this.usageSlot ? ',"usage":null' : ''}}`
  }

  text(text: string, seq?: number): string {
    const choice = `0,"delta":{"content":${JSON.stringify(text)}},"logprobs":null,"finish_reason":null`
    return this.frame(this.head + choice + this.tail, seq)
  }

  delta(index: number, delta: Record<string, unknown>, options: { logprobs?: unknown; seq?: number } = {}): string {
    const logprobs = JSON.stringify(options.logprobs ?? null)
    const choice = `${index},"delta":${JSON.stringify(delta)},"logprobs":${logprobs},"finish_reason":null`
    return this.frame(this.head + choice + this.tail, options.seq)
  }

  /** The first chunk of a choice, with whatever else the client should learn at once. */
  role(index: number, options: { seq?: number; fields?: Record<string, unknown> } = {}): string {
    const choice = `${index},"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null`
    return this.frame(this.head + choice + this.closing(options.fields), options.seq)
  }

  finish(index: number, reason: string, options: { seq?: number; fields?: Record<string, unknown> } = {}): string {
    const choice = `${index},"delta":{},"logprobs":null,"finish_reason":${JSON.stringify(reason)}`
    return this.frame(this.head + choice + this.closing(options.fields), options.seq)
  }

  /** The chunk without choices that carries the usage, at the very end. */
  usage(usage: unknown): string {
    const { id, created, model } = this.header
    return this.frame(
      JSON.stringify({
        id,
        object: 'chat.completion.chunk',
        created,
        model,
        choices: [],
        usage,
      }),
    )
  }

  /** Says that all text so far is void and the answer begins anew: no choices, so that nobody takes it for text. */
  restart(seq?: number): string {
    const { id, created, model } = this.header
    return this.frame(
      JSON.stringify({ id, object: 'chat.completion.chunk', created, model, choices: [], restart: true }),
      seq,
    )
  }

  private closing(fields: Record<string, unknown> | undefined): string {
    if (!fields) return this.tail
    const extra = JSON.stringify(fields).slice(1)
    return extra === '}' ? this.tail : `}],${extra}`
  }
}

/** Encodes the events of a run batch by batch, each with its number. */
export const framesOf =
  (encode: (event: RunEvent, seq: number) => string) =>
  ({ seq, events }: RunBatch): string => {
    let frames = ''
    for (const [i, event] of events.entries()) frames += encode(event, seq + i)
    return frames
  }

/** Whether everything before this event is void. */
export const isRestart = (event: RunEvent): boolean => typeof event === 'object' && event.type === 'restart'

/** OpenAI's vocabulary of finish reasons; ours has more. */
export const openAiReason = (reason: string): string =>
  reason === 'stopped' ? 'stop' : reason === 'budget' ? 'length' : reason
