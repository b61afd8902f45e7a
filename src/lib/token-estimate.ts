/** Tokens that an image costs at most, https://platform.claude.com/docs/en/build-with-claude/vision. */
const IMAGE = 1600
/** A page or two: what a file costs cannot be seen from outside. */
const FILE = 3000
/** What roles and separators cost, for each message and each tool. */
const FRAME = 4

/**
 * About how many tokens a text has. Every model counts differently: this is within a fifth or so for English and code,
 * and on the high side for other scripts, as a context that is believed to fit and does not is the worse mistake.
 */
export function estimateTokens(text: string): number {
  let quarters = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    // Latin: about four characters a token; Greek, Cyrillic, Arabic, …: two; Chinese, Japanese, Korean, emoji: one.
    quarters += code < 0x250 ? 1 : code < 0x2e80 ? 2 : 4
  }
  return Math.ceil(quarters / 4)
}

/** The same for a whole request in the words of Chat Completions: messages with their parts, and tools. */
export function estimateRequest({ messages, tools }: { messages: object[]; tools?: unknown }): number {
  const list = Array.isArray(tools) ? tools : []
  return [...messages, ...list].reduce((sum: number, item) => sum + FRAME + estimateValue(item), 0)
}

function estimateValue(value: unknown): number {
  if (typeof value === 'string') return estimateTokens(value)
  if (typeof value === 'number' || typeof value === 'boolean') return 1
  if (Array.isArray(value)) return value.reduce((sum: number, item) => sum + estimateValue(item), 0)
  if (typeof value !== 'object' || value === null) return 0
  if ('image_url' in value) return IMAGE
  if ('file' in value) return FILE
  return Object.values(value).reduce((sum: number, item) => sum + estimateValue(item), 0)
}
