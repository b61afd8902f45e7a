import { sseFrame } from '../lib/sse'
import type { ChoiceDelta } from '../llm/port'
import type { RunBatch, RunEnded, RunEvent } from '../runs/port'
import { DONE, framesOf } from './chunks'

/**
 * Which release of the AI SDK reads the stream. Its readers drop the whole answer at the first chunk or key they do not
 * know, and nothing in a request tells them apart, so 5 is the default and more is asked for by the client.
 */
export type UiLevel = 5 | 6 | 7

export interface UiStreamOptions {
  level: UiLevel
  /** The client's name for the message that is written to; without it the stored answer's id. */
  messageId?: string | undefined
  /** The events up to this number are not sent: their reader has them. The batches must begin with 1 all the same. */
  after?: number | undefined
}

type Chunk = { type: string; [key: string]: unknown }

interface Tool {
  id: string
  name: string
  /** JSON text, as far as it has come. */
  input: string
  /** Characters of it that were sent; undefined until the client knows the call. */
  sent: number | undefined
}

/** Events without chunks still have to be a frame: an empty one would end a chunked body. */
const NOTHING = ': -\n\n'

/**
 * The AI SDK's UI message stream (protocol header `x-vercel-ai-ui-message-stream: v1`), as `useChat` reads it. One
 * event may be several chunks; the last of them carries its number, so that a client cut in between gets it all again.
 */
export function uiFrames({ after = 0, ...options }: UiStreamOptions): (batch: RunBatch) => string {
  const stream = new UiStream(options)
  const encode = framesOf((event, seq) => {
    // Also what is not sent must be seen: which parts are open depends on it.
    const chunks = stream.take(event)
    if (seq <= after) return ''
    const last = chunks.length - 1
    const frames = chunks.map((chunk, i) => sseFrame(JSON.stringify(chunk), i === last ? seq : undefined)).join('')
    return stream.ended ? frames + DONE : frames
  })
  return (batch) => encode(batch) || NOTHING
}

/** Which parts are open. The only place that knows: a delta of a part that is not open costs the reader the answer. */
class UiStream {
  ended = false
  private open: { kind: 'text' | 'reasoning'; id: string } | undefined
  private parts = 0
  private tools = new Map<number, Tool>()

  constructor(private readonly options: Omit<UiStreamOptions, 'after'>) {}

  take(event: RunEvent): Chunk[] {
    if (typeof event === 'string') return this.piece('text', event)
    switch (event.type) {
      case 'start':
        return this.start(event.fields)
      case 'delta':
        return this.delta(event)
      case 'restart':
        return this.restart()
      case 'done':
      case 'error':
        this.ended = true
        return [...this.close(), ...this.end(event)]
      default:
        return []
    }
  }

  private start(fields: Record<string, unknown>): Chunk[] {
    const messageId = this.options.messageId ?? fields.message_id
    return [
      typeof messageId === 'string' ? { type: 'start', messageId } : { type: 'start' },
      { type: 'start-step' },
      passing('data-ids', fields),
    ]
  }

  private delta({ index, delta }: ChoiceDelta): Chunk[] {
    if (index !== 0) return []
    const chunks: Chunk[] = []
    const say = (kind: 'text' | 'reasoning', text: unknown) => {
      if (typeof text === 'string' && text) chunks.push(...this.piece(kind, text))
    }
    say('reasoning', delta.reasoning_content ?? delta.reasoning)
    say('text', delta.content)
    say('text', delta.refusal)
    if (Array.isArray(delta.tool_calls)) {
      for (const [i, piece] of delta.tool_calls.entries()) chunks.push(...this.tool(i, piece as ToolPiece))
    }
    return chunks
  }

  private piece(kind: 'text' | 'reasoning', delta: string): Chunk[] {
    if (this.open?.kind === kind) return [{ type: `${kind}-delta`, id: this.open.id, delta }]
    const closing = this.close()
    this.parts++
    const id = `${kind}-${this.parts}`
    this.open = { kind, id }
    return [...closing, { type: `${kind}-start`, id }, { type: `${kind}-delta`, id, delta }]
  }

  private close(): Chunk[] {
    const chunks = this.open ? [{ type: `${this.open.kind}-end`, id: this.open.id }] : []
    this.open = undefined
    return chunks
  }

  /** @param at its place in the list, for pieces that do not say which call they belong to: stored ones are whole. */
  private tool(at: number, piece: ToolPiece): Chunk[] {
    const index = piece.index ?? at
    const tool = this.tools.get(index) ?? { id: '', name: '', input: '', sent: undefined }
    this.tools.set(index, tool)
    tool.id ||= piece.id ?? ''
    tool.name ||= piece.function?.name ?? ''
    tool.input += piece.function?.arguments ?? ''
    if (!tool.name) return []
    const chunks = this.close()
    if (tool.sent === undefined) {
      tool.id ||= `call-${index}`
      tool.sent = 0
      chunks.push({ type: 'tool-input-start', toolCallId: tool.id, toolName: tool.name })
    }
    const inputTextDelta = tool.input.slice(tool.sent)
    tool.sent = tool.input.length
    if (inputTextDelta) chunks.push({ type: 'tool-input-delta', toolCallId: tool.id, inputTextDelta })
    return chunks
  }

  /** Readers of level 7 can drop a step. Others keep it, closed and followed by a mark that their page may look for. */
  private restart(): Chunk[] {
    const closing = this.close()
    const tools = this.known()
    this.tools = new Map()
    if (this.options.level >= 7) return [{ type: 'reset-step' }]
    const voided = tools.map((tool) => broken(tool, 'The answer began anew'))
    return [...closing, ...voided, { type: 'finish-step' }, { type: 'data-restart', data: {} }, { type: 'start-step' }]
  }

  private end(event: RunEnded): Chunk[] {
    const late = event.fields ? [passing('data-ids', event.fields)] : []
    if (event.type === 'error') {
      const { message, code, request_id } = event.error
      const facts = { code, request_id, retry_after: event.retryAfter ?? null }
      const error = { type: 'error', errorText: message }
      return [{ type: 'finish-step' }, ...late, passing('data-error', facts), error]
    }
    const { finishReason, usage, costUsd } = event
    const facts = passing('data-usage', { usage, cost_usd: costUsd, finish_reason: finishReason })
    if (finishReason === 'stopped') return [{ type: 'finish-step' }, ...late, facts, { type: 'abort' }]
    // Only now: a client runs a tool as soon as its input is there, and until now the answer could have begun anew.
    const calls = this.known().map(available)
    return [...calls, { type: 'finish-step' }, ...late, facts, this.finish(finishReason)]
  }

  private finish(reason: string): Chunk {
    return this.options.level >= 6 ? { type: 'finish', finishReason: REASONS[reason] ?? 'other' } : { type: 'finish' }
  }

  /** The calls that the client has heard of. */
  private known(): Tool[] {
    return [...this.tools.values()].filter(({ sent }) => sent !== undefined)
  }
}

interface ToolPiece {
  index?: number
  id?: string
  function?: { name?: string; arguments?: string }
}

/** OpenAI's words in those of the AI SDK. */
const REASONS: Record<string, string> = {
  stop: 'stop',
  length: 'length',
  budget: 'length',
  content_filter: 'content-filter',
  tool_calls: 'tool-calls',
}

/** Facts of ours: shown to the page's `onData`, kept in no message. */
const passing = (type: `data-${string}`, data: unknown): Chunk => ({ type, data, transient: true })

function available(tool: Tool): Chunk {
  try {
    // Many models say nothing when a tool takes nothing.
    const input: unknown = JSON.parse(tool.input.trim() || '{}')
    return { type: 'tool-input-available', toolCallId: tool.id, toolName: tool.name, input }
  } catch {
    return broken(tool, 'The model wrote arguments that are not JSON')
  }
}

const broken = ({ id, name, input }: Tool, errorText: string): Chunk => ({
  type: 'tool-input-error',
  toolCallId: id,
  toolName: name,
  input,
  errorText,
})
