/** Reads one streamed chat answer from a socket's bytes: HTTP/1.1 head, chunked body, events, tokens. */
import { type Answered, type OnToken, readChunk, unanswered } from './answered'

type State = 'head' | 'size' | 'chunk' | 'chunk-end' | 'trailer' | 'length' | 'complete'

/** A parser for one response. Text is latin1: everything the bench reads is ASCII. */
export class SseResponse {
  readonly answered: Answered = unanswered()
  #state: State = 'head'
  #text = ''
  #at = 0
  #left = 0
  #events = ''

  constructor(readonly onToken: OnToken) {}

  get complete(): boolean {
    return this.#state === 'complete'
  }

  feed(text: string): void {
    this.#text = this.#at < this.#text.length ? this.#text.slice(this.#at) + text : text
    this.#at = 0
    while (this.#state !== 'complete' && this.#step());
  }

  /** Does one step; false when more bytes are needed. */
  #step(): boolean {
    switch (this.#state) {
      case 'head':
        return this.#line('\r\n\r\n', (head) => this.#head(head))
      case 'size':
        return this.#line('\r\n', (size) => {
          this.#left = Number.parseInt(size, 16)
          this.#state = this.#left === 0 ? 'trailer' : 'chunk'
        })
      case 'chunk':
        return this.#take('chunk-end')
      case 'length':
        return this.#take('complete')
      case 'chunk-end':
        return this.#line('\r\n', () => {
          this.#state = 'size'
        })
      case 'trailer':
        return this.#line('\r\n', (line) => {
          if (line === '') this.#state = 'complete'
        })
      case 'complete':
        return false
    }
  }

  #line(end: string, use: (line: string) => void): boolean {
    const at = this.#text.indexOf(end, this.#at)
    if (at < 0) return false
    const line = this.#text.slice(this.#at, at)
    this.#at = at + end.length
    use(line)
    return true
  }

  #head(head: string): void {
    this.answered.status = Number(head.slice(9, 12))
    this.answered.closes = /\r\nconnection: *close/i.test(head)
    const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1]
    this.#left = Number(length ?? 0)
    this.#state = length === undefined ? 'size' : this.#left === 0 ? 'complete' : 'length'
  }

  #take(next: State): boolean {
    const end = Math.min(this.#text.length, this.#at + this.#left)
    if (end === this.#at) return false
    this.#body(this.#text.slice(this.#at, end))
    this.#left -= end - this.#at
    this.#at = end
    if (this.#left === 0) this.#state = next
    return true
  }

  #body(text: string): void {
    if (this.answered.status !== 200) {
      this.answered.error = `${this.answered.error ?? ''}${text}`.slice(0, 300)
      return
    }
    this.#events = this.#events === '' ? text : this.#events + text
    let from = 0
    for (let end = this.#events.indexOf('\n\n'); end >= 0; end = this.#events.indexOf('\n\n', from)) {
      this.#event(this.#events.slice(from, end))
      from = end + 2
    }
    if (from > 0) this.#events = this.#events.slice(from)
  }

  #event(event: string): void {
    const at = event.startsWith('data:') ? 0 : event.indexOf('\ndata:') + 1
    if (at === 0 && !event.startsWith('data:')) return
    const data = event.slice(at + 5).trimStart()
    if (data === '[DONE]') this.answered.done++
    else if (data.startsWith('{"error"')) this.answered.error ??= data.slice(0, 300)
    else readChunk(data, this.answered, this.onToken)
  }
}
