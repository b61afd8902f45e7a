import { type Delivered, wordsOf } from './estimate'
import type { ChatEvent } from './port'

/** What of an answer has been given out since the last `reset`, and about how many tokens that is. */
export class Tally {
  private said = ''
  private thought = ''

  /** @returns about how many tokens it is, as a fraction: a piece of a word is a piece of a token. */
  add(event: ChatEvent): number {
    if (typeof event === 'string') {
      this.said += event
      return tokensIn(event)
    }
    if (event.type !== 'delta') return 0
    const { said, thought } = wordsOf(event.delta)
    this.said += said
    this.thought += thought
    return tokensIn(said) + tokensIn(thought)
  }

  reset(): void {
    this.said = ''
    this.thought = ''
  }

  get empty(): boolean {
    return this.said === '' && this.thought === ''
  }

  delivered(): Delivered {
    return { said: this.said, thought: this.thought }
  }
}

/** As `estimateTokens` counts, without its rounding up: pieces are many. */
function tokensIn(text: string): number {
  let quarters = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    quarters += code < 0x250 ? 1 : code < 0x2e80 ? 2 : 4
  }
  return quarters / 4
}
