import { type Delivered, wordsOf } from './estimate'
import type { ChatEvent, ChatMessage, ChatRequest } from './port'

/** What has been said of an answer so far, for somebody else to go on with. */
export class Said {
  private text = ''
  private pieces = 0
  /** What was said otherwise than as plain text. */
  private readonly more: Delivered = { said: '', thought: '' }
  private plain = true
  /** White space at the end that the one who goes on was not shown, and must not add again. */
  private trimmed = false

  add(event: ChatEvent): void {
    if (typeof event === 'string') {
      this.text += event
      this.pieces++
    } else if (event.type === 'delta') {
      this.plain = false
      const { said, thought } = wordsOf(event.delta)
      this.more.said += said
      this.more.thought += thought
    }
  }

  /** Nothing counts any more. */
  reset(): void {
    this.text = ''
    this.pieces = 0
    this.plain = true
    this.trimmed = false
    Object.assign(this.more, { said: '', thought: '' })
  }

  /** All words that were given out, in no order. */
  delivered(): Delivered {
    return { said: this.text + this.more.said, thought: this.more.thought }
  }

  /**
   * The request that goes on after what was said, or undefined when that cannot be told in words: thoughts and calls of
   * tools belong to the model that began them.
   */
  continued({ messages, params, ...request }: ChatRequest): ChatRequest | undefined {
    const last = messages.at(-1)
    const begun = last?.role === 'assistant' ? last.content : ''
    // Anthropic refuses white space at the end (Messages API, "Prefill Claude's response"); others go on better without.
    const prefix = typeof begun === 'string' ? (begun + this.text).trimEnd() : ''
    if (!this.plain || !prefix || last?.tool_calls) return undefined
    const message: ChatMessage = { role: 'assistant', content: prefix }
    const before = last?.role === 'assistant' ? messages.slice(0, -1) : messages
    return { ...request, messages: [...before, message], params: this.shortened(params) }
  }

  /** Somebody goes on after what was said. */
  onContinued(): void {
    this.trimmed = /\s$/.test(this.text)
  }

  /** An event of the one who goes on, without what was said already; undefined when nothing is left of it. */
  follow(event: ChatEvent): ChatEvent | undefined {
    if (!this.trimmed || typeof event !== 'string') return event
    const rest = event.trimStart()
    if (!rest) return undefined
    this.trimmed = false
    return rest
  }

  /** A limit of tokens is for the whole answer. A piece is a token or more, so that this never allows too few. */
  private shortened(params: ChatRequest['params']): ChatRequest['params'] {
    const shorter = { ...params }
    for (const name of ['max_tokens', 'max_completion_tokens']) {
      const limit = params[name]
      if (typeof limit === 'number') shorter[name] = Math.max(1, limit - this.pieces)
    }
    return shorter
  }
}
