import type { ThoughtDetail } from '../lib/thinking'
import { FrameReader } from './frame-reader'
import { countsOf, saysSomething } from './metering'
import type { Usage } from './port'
import { refusedInStream } from './upstream-error'

/** The keys of all events; each event has some of them. */
interface Frame {
  type?: string
  index?: number
  message?: { model?: string; usage?: Counts | null }
  content_block?: { type?: string; [key: string]: unknown }
  delta?: { type?: string; stop_reason?: string | null; [key: string]: unknown }
  usage?: Counts | null
  error?: { type?: string }
}

/** Token counts as the Messages API reports them: `input_tokens` are those that no cache was asked for. */
interface Counts {
  input_tokens?: number | null
  cache_read_input_tokens?: number | null
  cache_creation_input_tokens?: number | null
  cache_creation?: { ephemeral_5m_input_tokens?: number; ephemeral_1h_input_tokens?: number } | null
  output_tokens?: number | null
  output_tokens_details?: { thinking_tokens?: number | null } | null
  service_tier?: string | null
}

/** What the reader has to remember of a block until it ends. */
type Open =
  | { kind: 'tool'; call: number; input: unknown; said: boolean }
  | { kind: 'thinking'; length: number; signature: string }
  | { kind: 'other' }

const REASONS: Record<string, string> = {
  end_turn: 'stop',
  stop_sequence: 'stop',
  pause_turn: 'stop',
  max_tokens: 'length',
  model_context_window_exceeded: 'length',
  tool_use: 'tool_calls',
  refusal: 'content_filter',
}

/** The HTTP status of each kind of error, https://platform.claude.com/docs/en/api/errors. */
const STATUSES: Record<string, number> = {
  invalid_request_error: 400,
  authentication_error: 401,
  billing_error: 402,
  permission_error: 403,
  not_found_error: 404,
  request_too_large: 413,
  rate_limit_error: 429,
  timeout_error: 504,
  overloaded_error: 529,
}

/**
 * Reads the stream of the Messages API (https://platform.claude.com/docs/en/build-with-claude/streaming). Complete after
 * a stop reason, even if `message_stop` is lost. Blocks of kinds that Chat Completions has no word for (server tools, citations) are left out.
 */
export class MessageFrames extends FrameReader {
  private readonly open = new Map<number, Open>()
  private calls = 0
  private begun = false
  private reason: string | undefined
  private counts: Counts = {}

  protected onFrame(data: string): void {
    const frame = JSON.parse(data) as Frame
    switch (frame.type) {
      case 'content_block_delta':
        this.delta(frame.index ?? 0, frame.delta ?? {})
        break
      case 'content_block_start':
        this.start(frame.index ?? 0, frame.content_block ?? {})
        break
      case 'content_block_stop':
        this.stop(frame.index ?? 0)
        break
      case 'message_start':
        this.message(frame)
        break
      case 'message_delta':
        this.count(frame.usage)
        if (frame.delta?.stop_reason) this.finish(REASONS[frame.delta.stop_reason] ?? 'stop')
        if (this.finished) this.usage()
        break
      case 'message_stop':
        if (!this.reason) {
          this.finish('stop')
          this.usage()
        }
        this.done = true
        break
      case 'error':
        throw refusedInStream({ ...frame.error, status: STATUSES[frame.error?.type ?? ''] })
    }
  }

  /** Some streams have a second one; it says nothing new but, perhaps, the counts. */
  private message({ message = {} }: Frame): void {
    this.count(message.usage)
    if (this.begun) return
    this.begun = true
    this.events.push({ type: 'meta', fields: message.model ? { model: message.model } : {} })
  }

  private start(index: number, { type, ...block }: NonNullable<Frame['content_block']>): void {
    if (type === 'text') this.text(block.text)
    else if (type === 'tool_use') {
      this.open.set(index, { kind: 'tool', call: this.calls, input: block.input, said: false })
      this.tool(this.calls++, { id: block.id, type: 'function', function: { name: block.name, arguments: '' } })
    } else if (type === 'thinking') {
      const thought: Open = { kind: 'thinking', length: 0, signature: stringOf(block.signature) }
      this.open.set(index, thought)
      this.think(thought, block.thinking)
    } else if (type === 'redacted_thinking') this.detail({ type, data: stringOf(block.data) })
    else this.open.set(index, { kind: 'other' })
  }

  private delta(index: number, delta: NonNullable<Frame['delta']>): void {
    const block = this.open.get(index)
    if (block?.kind === 'other') return
    if (delta.type === 'text_delta') this.text(delta.text)
    else if (delta.type === 'input_json_delta' && block?.kind === 'tool') {
      if (!delta.partial_json) return
      block.said = true
      this.tool(block.call, { function: { arguments: delta.partial_json } })
    } else if (delta.type === 'thinking_delta' && block?.kind === 'thinking') this.think(block, delta.thinking)
    else if (delta.type === 'signature_delta' && block?.kind === 'thinking') {
      block.signature += stringOf(delta.signature)
    }
  }

  private stop(index: number): void {
    const block = this.open.get(index)
    this.open.delete(index)
    // Clients parse the arguments, and an empty text is not JSON.
    if (block?.kind === 'tool' && !block.said) {
      this.tool(block.call, { function: { arguments: JSON.stringify(block.input ?? {}) } })
    } else if (block?.kind === 'thinking' && block.signature) {
      this.detail({ type: 'thinking', signature: block.signature, length: block.length })
    }
  }

  private text(text: unknown): void {
    if (typeof text === 'string' && text) this.events.push(text)
  }

  private think(block: Extract<Open, { kind: 'thinking' }>, text: unknown): void {
    if (typeof text !== 'string' || !text) return
    block.length += text.length
    this.events.push({ type: 'delta', index: 0, delta: { reasoning_content: text } })
  }

  private detail(detail: ThoughtDetail): void {
    this.events.push({ type: 'delta', index: 0, delta: { reasoning_details: [detail] } })
  }

  private tool(index: number, call: object): void {
    this.events.push({ type: 'delta', index: 0, delta: { tool_calls: [{ index, ...call }] } })
  }

  private finish(reason: string): void {
    this.finished = true
    if (this.reason === reason) return
    this.reason = reason
    this.events.push({ type: 'finish', index: 0, reason })
  }

  /** Counts are of the whole answer so far; those that are left out stay as they were. */
  private count(counts: Counts | null | undefined): void {
    for (const [key, value] of Object.entries(counts ?? {}))
      if (value !== null) Object.assign(this.counts, { [key]: value })
  }

  /** OpenAI's prompt tokens include those of the caches, Anthropic's do not. Unless they are added, they are not paid. */
  private usage(): void {
    const { input_tokens, output_tokens, output_tokens_details, cache_creation, service_tier } = this.counts
    if (input_tokens === undefined && output_tokens === undefined) return
    const read = this.counts.cache_read_input_tokens ?? 0
    const written = this.counts.cache_creation_input_tokens ?? 0
    const prompt = (input_tokens ?? 0) + read + written
    const completion = output_tokens ?? 0
    const thoughts = output_tokens_details?.thinking_tokens
    const usage: Usage = {
      prompt_tokens: prompt,
      completion_tokens: completion,
      total_tokens: prompt + completion,
      prompt_tokens_details: {
        cached_tokens: read,
        cache_write_tokens: written,
        // In LiteLLM's words: what is kept for an hour costs more.
        ...(cache_creation?.ephemeral_1h_input_tokens ? { cache_creation_token_details: cache_creation } : {}),
      },
      ...(typeof thoughts === 'number' ? { completion_tokens_details: { reasoning_tokens: thoughts } } : {}),
    }
    const counts = countsOf(usage)
    if (!saysSomething(counts)) return
    this.events.push({
      type: 'usage',
      usage,
      counts,
      ...(service_tier ? { serviceTier: service_tier } : {}),
    })
  }
}

const stringOf = (value: unknown): string => (typeof value === 'string' ? value : '')
