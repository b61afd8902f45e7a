import type { AppError } from '../errors'
import type { ToolOutcome } from '../lib/steps'
import type { ChoiceDelta, Usage } from '../llm/port'
import { openAiError } from './openai'
import type { NumberedEvents } from './responses-events'
import {
  type Call,
  type Item,
  type Kind,
  type Part,
  partOf,
  type ResponseHeader,
  type ResponseStatus,
  shown,
  usageOf,
} from './responses-object'

/** OpenAI's word for why a response failed. */
const CODES: Partial<Record<AppError['code'], string>> = {
  RATE_LIMIT_EXCEEDED: 'rate_limit_exceeded',
  BAD_REQUEST: 'invalid_prompt',
}

const INCOMPLETE: Record<string, string> = {
  length: 'max_output_tokens',
  budget: 'max_output_tokens',
  content_filter: 'content_filter',
}

interface CallPiece {
  index?: number
  id?: string
  function?: { name?: string; arguments?: string }
}

/** Writes the events of one response, as https://platform.openai.com/docs/api-reference/responses-streaming has them. */
export class ResponseWriter {
  private facts: Record<string, unknown> = {}
  private key: string
  private output: [index: number, item: object][] = []
  private items = 0
  private open: Item | undefined
  private calls = new Map<number, Call>()
  private named = { message: 0, reasoning: 0, call: 0, result: 0 }
  private restarts = 0
  /** What every piece of the open part begins with: with thousands of pieces, building it each time adds up. */
  private head = ''

  constructor(
    private readonly header: ResponseHeader,
    private readonly events: NumberedEvents,
  ) {
    this.key = header.key
  }

  /** @param fields facts of ours, beside OpenAI's. */
  start(fields: Record<string, unknown> = {}): void {
    this.facts = fields
    if (typeof fields.message_id === 'string') this.key = fields.message_id
    this.events.write('response.created', () => ({ response: this.response('in_progress') }))
    this.events.write('response.in_progress', () => ({ response: this.response('in_progress') }))
  }

  text(text: string): void {
    this.grow(this.part('message', 'output_text'), text)
  }

  delta({ index, delta }: ChoiceDelta): void {
    if (index !== 0) return
    const { content, refusal, tool_calls } = delta
    const thought = delta.reasoning_content ?? delta.reasoning
    if (typeof thought === 'string' && thought) this.grow(this.part('reasoning', 'summary_text'), thought)
    if (typeof content === 'string' && content) this.text(content)
    if (typeof refusal === 'string' && refusal) this.grow(this.part('message', 'refusal'), refusal)
    if (Array.isArray(tool_calls)) for (const [i, piece] of tool_calls.entries()) this.call(i, piece as CallPiece)
    if (Array.isArray(delta.tool_results)) for (const result of delta.tool_results) this.result(result as ToolOutcome)
  }

  /** The answer begins anew: what was said is closed as incomplete and no part of the response any more. */
  restart(): void {
    this.close('incomplete')
    this.output = []
    this.restarts++
    this.named = { message: 0, reasoning: 0, call: 0, result: 0 }
  }

  /** @param more facts of ours that came with the end. @returns the response as it is now. */
  end(reason: string | null, usage: Usage | null, more: Record<string, unknown> = {}): object {
    const cause = INCOMPLETE[reason ?? '']
    const status = reason === 'stopped' ? 'cancelled' : cause ? 'incomplete' : 'completed'
    this.close(status === 'completed' ? 'completed' : 'incomplete')
    Object.assign(this.facts, more)
    const response = this.response(status, {
      incomplete_details: cause ? { reason: cause } : null,
      usage: usageOf(usage),
    })
    // There is no event for a response that was cancelled; this is the one that readers end with.
    this.events.write(status === 'completed' ? 'response.completed' : 'response.incomplete', () => ({ response }))
    return response
  }

  /** @returns the response as it is now. */
  fail(error: AppError, more: Record<string, unknown> = {}): object {
    const body = openAiError(error).error
    const { type, message, param } = body
    const code = CODES[error.code] ?? 'server_error'
    // The documentation has the fields beside the type, the service itself sends them in an object.
    this.events.write('error', () => ({ code, message, param, error: { type, code, message, param } }))
    Object.assign(this.facts, more)
    const response = this.response('failed', { error: { code, message } })
    this.events.write('response.failed', () => ({ response }))
    return response
  }

  /** The response object, with the items as far as they have come. */
  response(status: ResponseStatus, more: Record<string, unknown> = {}): object {
    const { id, created, model, echo } = this.header
    const unfinished = [...(this.open ? [this.open] : []), ...this.calls.values()].map((item): [number, object] => [
      item.index,
      shown(item, 'incomplete'),
    ])
    const { conversation_id, ...facts } = this.facts
    return {
      id,
      object: 'response',
      created_at: created,
      status,
      error: null,
      incomplete_details: null,
      ...echo,
      max_tool_calls: null,
      top_logprobs: 0,
      model,
      output: [...this.output, ...unfinished].sort(([a], [b]) => a - b).map(([, item]) => item),
      usage: null,
      conversation: conversation_id ? { id: conversation_id } : null,
      ...facts,
      ...more,
    }
  }

  /** The open part of such a kind; opened where there is none, after what was open. */
  private part(kind: Kind, type: Part['type']): Item {
    if (this.open?.kind !== kind) {
      this.closeItem('completed')
      const item: Item = {
        kind,
        id: this.name(kind === 'message' ? 'msg' : 'rs', kind),
        index: this.items++,
        parts: [],
      }
      this.open = item
      this.events.write('response.output_item.added', () => ({
        output_index: item.index,
        item: shown(item, 'in_progress'),
      }))
    }
    const item = this.open as Item
    if (item.parts.at(-1)?.type !== type) this.openPart(item, type)
    return item
  }

  private openPart(item: Item, type: Part['type']): void {
    this.closePart(item)
    item.parts.push({ type, text: '' })
    const at = place(item)
    const event = type === 'summary_text' ? 'response.reasoning_summary_part.added' : 'response.content_part.added'
    this.events.write(event, () => ({ ...at, part: partOf({ type, text: '' }) }))
    this.head = `{"type":"${DELTAS[type]}",${JSON.stringify(at).slice(1, -1)},"delta":`
  }

  private grow(item: Item, text: string): void {
    const part = item.parts.at(-1) as Part
    part.text += text
    this.events.piece(
      DELTAS[part.type],
      this.head + JSON.stringify(text) + (part.type === 'output_text' ? LOGPROBS : ''),
    )
  }

  /**
   * Calls stay open to the end of the answer: providers may send the pieces of several at once, and a client runs a
   * tool as soon as its call is done, while the answer may still begin anew.
   * @param at its place in the list, for pieces that do not say which call they belong to: stored ones are whole.
   */
  private call(at: number, piece: CallPiece): void {
    const key = piece.index ?? at
    const known = this.calls.get(key)
    const { name = '', arguments: text = '' } = piece.function ?? {}
    const call = known ?? this.begin(key, { callId: piece.id ?? '', name })
    if (!text) return
    call.arguments += text
    const { index: output_index, id: item_id } = call
    this.events.write('response.function_call_arguments.delta', () => ({ item_id, output_index, delta: text }))
  }

  private begin(key: number, { callId, name }: { callId: string; name: string }): Call {
    this.closeItem('completed')
    const id = this.name('fc', 'call')
    // Some providers name no call; its result has to be told apart all the same.
    const call: Call = { id, index: this.items++, callId: callId || id.replace('fc_', 'call_'), name, arguments: '' }
    this.calls.set(key, call)
    this.events.write('response.output_item.added', () => ({
      output_index: call.index,
      item: shown(call, 'in_progress'),
    }))
    return call
  }

  private close(status: 'completed' | 'incomplete'): void {
    this.closeItem(status)
    for (const call of this.calls.values()) this.closeCall(call, status)
    this.calls = new Map()
  }

  private closeCall(call: Call, status: 'completed' | 'incomplete'): void {
    const { index: output_index, id: item_id, name, arguments: text } = call
    this.events.write('response.function_call_arguments.done', () => ({ item_id, output_index, name, arguments: text }))
    this.finish(call, status)
  }

  /** What a tool of this server gave: the call is made, and nobody else has to. */
  private result({ tool_call_id: call_id, content }: ToolOutcome): void {
    this.closeItem('completed')
    for (const [key, call] of this.calls) {
      if (call.callId !== call_id) continue
      this.closeCall(call, 'completed')
      this.calls.delete(key)
    }
    const output_index = this.items++
    const id = this.name('fco', 'result')
    const item = { id, type: 'function_call_output', status: 'completed', call_id, output: content }
    this.output.push([output_index, item])
    this.events.write('response.output_item.added', () => ({ output_index, item }))
    this.events.write('response.output_item.done', () => ({ output_index, item }))
  }

  private closeItem(status: 'completed' | 'incomplete'): void {
    const item = this.open
    if (!item) return
    this.closePart(item)
    this.open = undefined
    this.finish(item, status)
  }

  private closePart(item: Item): void {
    const part = item.parts.at(-1)
    if (!part) return
    const { type, text } = part
    const at = place(item)
    if (type === 'summary_text') {
      this.events.write('response.reasoning_summary_text.done', () => ({ ...at, text }))
      this.events.write('response.reasoning_summary_part.done', () => ({ ...at, part: partOf(part) }))
      return
    }
    if (type === 'refusal') this.events.write('response.refusal.done', () => ({ ...at, refusal: text }))
    else this.events.write('response.output_text.done', () => ({ ...at, text, logprobs: [] }))
    this.events.write('response.content_part.done', () => ({ ...at, part: partOf(part) }))
  }

  private finish(item: Item | Call, status: 'completed' | 'incomplete'): void {
    const done = shown(item, status)
    this.output.push([item.index, done])
    this.events.write('response.output_item.done', () => ({ output_index: item.index, item: done }))
  }

  /** `msg_<key>`, `msg_<key>_1`, …; calls are numbered from 0. After a restart the names are others. */
  private name(prefix: string, kind: keyof typeof this.named): string {
    const n = this.named[kind]++
    const number = n > 0 || kind === 'call' ? `_${n}` : ''
    return `${prefix}_${this.key}${number}${this.restarts > 0 ? `_r${this.restarts}` : ''}`
  }
}

const LOGPROBS = ',"logprobs":[]'

const DELTAS = {
  output_text: 'response.output_text.delta',
  refusal: 'response.refusal.delta',
  summary_text: 'response.reasoning_summary_text.delta',
} as const

const place = ({ kind, id, index, parts }: Item) => ({
  item_id: id,
  output_index: index,
  [kind === 'reasoning' ? 'summary_index' : 'content_index']: parts.length - 1,
})
