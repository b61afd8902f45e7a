/**
 * Every prompt carries a mark that belongs to one person, conversation and turn, and the model's answer is made of nothing
 * else, numbered. So any text tells whose it is, what is missing in it, and what is in it twice.
 */
export interface Mark {
  client: number
  conversation: number
  turn: number
}

/** Whose account a client uses: every second one that of a program, which is busy for all of them. */
export const accountOf = (client: number) => (client % 2 === 0 ? 0 : client)

export interface Prompt extends Mark {
  /** Words of the answer. */
  words: number
  /** Milliseconds between two of them. */
  pause: number
}

const nameOf = ({ client, conversation, turn }: Mark) => `c${client}k${conversation}t${turn}`

export const textOfPrompt = (prompt: Prompt) => `[${nameOf(prompt)}] say ${prompt.words} every ${prompt.pause}`

/** The word of that number, with the space that comes before it. */
export const wordOf = (mark: Mark, index: number) => `${index === 0 ? '' : ' '}[${nameOf(mark)}.${index}]`

export const answerTo = (prompt: Prompt) =>
  Array.from({ length: prompt.words }, (_, index) => wordOf(prompt, index)).join('')

export function promptIn(text: string): Prompt | undefined {
  const [, client, conversation, turn, words, pause] =
    /^\[c(\d+)k(\d+)t(\d+)\] say (\d+) every (\d+)$/.exec(text)?.map(Number) ?? []
  if (client === undefined || conversation === undefined || turn === undefined) return undefined
  return { client, conversation, turn, words: words ?? 0, pause: pause ?? 0 }
}

/** Marks in a text that are not this one's: of somebody else, or of another turn. */
export function strangersIn(text: string, own: Mark): string[] {
  const prefix = `[${nameOf(own)}`
  return (text.match(/\[c\d+k\d+t\d+/g) ?? []).filter((found) => found !== prefix)
}

/** What one turn is called, for whoever has to find it. */
export const keyOf = nameOf
