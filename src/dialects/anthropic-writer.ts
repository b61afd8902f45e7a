import { type AnthropicEvent, sseFrame } from '../lib/sse'
import type { ChoiceDelta, Usage } from '../llm/port'

export interface MessageHeader {
  /** `msg_…` */
  id: string
  model: string
}

/** Why the model stopped, in Anthropic's words. `stopped` is ours: somebody stopped it. */
const REASONS: Record<string, string> = {
  length: 'max_tokens',
  budget: 'max_tokens',
  tool_calls: 'tool_use',
  function_call: 'tool_use',
  content_filter: 'refusal',
}

export const stopReason = (finishReason: string | null): string => REASONS[finishReason ?? ''] ?? 'end_turn'

/** Anthropic's input tokens are those that no cache served or took; OpenAI's prompt tokens are all of them. */
export function messageUsage(usage: Usage | null) {
  const details = (usage?.prompt_tokens_details ?? {}) as { cached_tokens?: number; cache_write_tokens?: number }
  const read = details.cached_tokens ?? 0
  const written = details.cache_write_tokens ?? 0
  return {
    input_tokens: Math.max(0, (usage?.prompt_tokens ?? 0) - read - written),
    cache_creation_input_tokens: written,
    cache_read_input_tokens: read,
    output_tokens: usage?.completion_tokens ?? 0,
  }
}

/** A tool call on its way: providers may send the pieces of several at once, Anthropic's clients get one at a time. */
interface Call {
  id: string
  name: string
  /** What has been sent of its arguments. */
  sent: string
  /** What came while another call was being sent. */
  waiting: string
}

type Block = { kind: 'text' } | { kind: 'thinking' } | { kind: 'tool'; call: Call }

interface CallPiece {
  index?: number
  id?: string
  function?: { name?: string; arguments?: string }
}

/** Writes the events of one message in the order the Messages API promises: each block begins, grows and ends alone. */
export class MessageWriter {
  private readonly out: [AnthropicEvent, string][] = []
  private readonly calls = new Map<number, Call>()
  private readonly told = new Set<Call>()
  private index = -1
  private block: Block | undefined
  /** What every piece of the open block begins with: with thousands of pieces, building it each time adds up. */
  private head = ''

  constructor(private readonly header: MessageHeader) {}

  /** What was written since the last time. @param seq the number of the event that caused it. */
  take(seq?: number): string {
    let frames = ''
    for (const [i, [event, data]] of this.out.entries()) {
      // A client that resumes after a number must have all of it.
      frames += sseFrame(data, i === this.out.length - 1 ? seq : undefined, event)
    }
    this.out.length = 0
    return frames
  }

  start(fields: Record<string, unknown> = {}): void {
    const { id, model } = this.header
    const message = {
      id,
      type: 'message',
      role: 'assistant',
      model,
      content: [],
      stop_reason: null,
      stop_sequence: null,
      usage: messageUsage(null),
      ...fields,
    }
    this.write('message_start', { message })
    this.write('ping', {})
  }

  text(text: string): void {
    if (this.block?.kind !== 'text') this.open({ kind: 'text' }, { type: 'text', text: '' })
    this.grow(text)
  }

  delta({ index, delta }: ChoiceDelta): void {
    if (index !== 0) return
    const { reasoning_content, reasoning, reasoning_details, content, tool_calls } = delta
    const thought = reasoning_content ?? reasoning
    if (typeof thought === 'string' && thought) this.think(thought)
    if (Array.isArray(reasoning_details)) for (const detail of reasoning_details) this.sign(detail)
    if (typeof content === 'string' && content) this.text(content)
    if (Array.isArray(tool_calls)) for (const piece of tool_calls as CallPiece[]) this.call(piece)
  }

  /** @param more facts of ours beside Anthropic's. */
  end(reason: string | null, usage: Usage | null, more: Record<string, unknown> = {}): void {
    this.close()
    for (const call of this.calls.values()) this.begin(call)
    this.close()
    const delta = { stop_reason: stopReason(reason), stop_sequence: null }
    this.write('message_delta', { delta, usage: { ...messageUsage(usage), ...more } })
    this.write('message_stop', {})
  }

  error(body: object): void {
    this.out.push(['error', JSON.stringify(body)])
  }

  private think(text: string): void {
    if (this.block?.kind !== 'thinking') {
      this.open({ kind: 'thinking' }, { type: 'thinking', thinking: '', signature: '' })
    }
    this.grow(text)
  }

  /** A signature ends its thought; one without a text is a thought that the model keeps to itself. */
  private sign(detail: { type?: unknown; signature?: unknown; data?: unknown }): void {
    if (detail?.type === 'redacted_thinking') {
      this.open({ kind: 'thinking' }, { type: detail.type, data: detail.data })
    } else if (detail?.type === 'thinking') {
      if (this.block?.kind !== 'thinking') {
        this.open({ kind: 'thinking' }, { type: 'thinking', thinking: '', signature: '' })
      }
      const delta = { type: 'signature_delta', signature: detail.signature }
      this.write('content_block_delta', { index: this.index, delta })
    } else return
    this.close()
  }

  private call(piece: CallPiece): void {
    // Some providers send whole calls without an index.
    const key = piece.index ?? this.calls.size - (piece.id ? 0 : 1)
    const call = this.calls.get(key) ?? { id: '', name: '', sent: '', waiting: '' }
    this.calls.set(key, call)
    call.id ||= piece.id ?? ''
    call.name ||= piece.function?.name ?? ''
    call.waiting += piece.function?.arguments ?? ''
    const open = this.block?.kind === 'tool' ? this.block.call : undefined
    if (open === call) this.flush(call)
    else if (call.name && (!open || isJson(open.sent))) this.begin(call)
  }

  private begin(call: Call): void {
    if (this.told.has(call)) return
    this.told.add(call)
    const id = call.id || `toolu_${crypto.randomUUID().replaceAll('-', '')}`
    this.open({ kind: 'tool', call }, { type: 'tool_use', id, name: call.name, input: {} })
    this.flush(call)
  }

  private flush(call: Call): void {
    if (!call.waiting) return
    call.sent += call.waiting
    this.grow(call.waiting)
    call.waiting = ''
  }

  private open(block: Block, content_block: object): void {
    this.close()
    this.block = block
    this.index++
    this.write('content_block_start', { index: this.index, content_block })
    const [type, key] = DELTAS[block.kind]
    this.head = `{"type":"content_block_delta","index":${this.index},"delta":{"type":"${type}","${key}":`
  }

  private grow(text: string): void {
    this.out.push(['content_block_delta', `${this.head}${JSON.stringify(text)}}}`])
  }

  private close(): void {
    if (!this.block) return
    this.block = undefined
    this.write('content_block_stop', { index: this.index })
  }

  private write(type: AnthropicEvent, fields: object): void {
    this.out.push([type, JSON.stringify({ type, ...fields })])
  }
}

const DELTAS = {
  text: ['text_delta', 'text'],
  thinking: ['thinking_delta', 'thinking'],
  tool: ['input_json_delta', 'partial_json'],
} as const

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
