/**
 * Anthropic signs a model's thoughts and wants them back unchanged with the signature. Between the surfaces they travel as
 * a message's `reasoning_content` (the text of all of them) and, here, what the text cannot hold.
 */
export type ThoughtDetail =
  | {
      type: 'thinking'
      signature: string
      /** Characters of `reasoning_content` that are this thought's; with one thought it may be left out. */
      length?: number
    }
  | { type: 'redacted_thinking'; data: string }

export type ThoughtBlock =
  | { type: 'thinking'; thinking: string; signature: string }
  | { type: 'redacted_thinking'; data: string }

/** The signed thoughts of a message as Anthropic's blocks; none when text and signatures cannot be told apart. */
export function thoughtBlocks(message: Record<string, unknown>): ThoughtBlock[] {
  const details = Array.isArray(message.reasoning_details) ? message.reasoning_details.filter(isDetail) : []
  const text = typeof message.reasoning_content === 'string' ? message.reasoning_content : ''
  const signed = details.filter((detail) => detail.type === 'thinking')
  if (signed.length > 1 && signed.some(({ length }) => length === undefined)) return []
  let at = 0
  return details.map((detail): ThoughtBlock => {
    if (detail.type === 'redacted_thinking') return { type: detail.type, data: detail.data }
    const thinking = text.slice(at, detail.length === undefined ? undefined : at + detail.length)
    at += thinking.length
    return { type: 'thinking', thinking, signature: detail.signature }
  })
}

/** The reverse: what a message carries of such blocks. Thoughts without a signature keep their text only. */
export function thoughtFields(blocks: readonly ThoughtBlock[]): Record<string, unknown> {
  const text = blocks.map((block) => (block.type === 'thinking' ? block.thinking : '')).join('')
  const details = blocks.flatMap((block): ThoughtDetail[] => {
    if (block.type === 'redacted_thinking') return [block]
    const { thinking, signature } = block
    return signature ? [{ type: 'thinking', signature, length: thinking.length }] : []
  })
  return {
    ...(text ? { reasoning_content: text } : {}),
    ...(details.length > 0 ? { reasoning_details: details } : {}),
  }
}

function isDetail(detail: unknown): detail is ThoughtDetail {
  if (typeof detail !== 'object' || detail === null || !('type' in detail)) return false
  if (detail.type === 'redacted_thinking') return 'data' in detail && typeof detail.data === 'string'
  return detail.type === 'thinking' && 'signature' in detail && typeof detail.signature === 'string'
}
