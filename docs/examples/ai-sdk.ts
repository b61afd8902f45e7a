import type { UIMessage } from 'ai'

/** The parts of an answer that count. Where it began anew, the step before the mark is void. */
export function partsOf({ parts }: UIMessage): UIMessage['parts'] {
  const valid: UIMessage['parts'] = []
  for (const part of parts) {
    if (part.type !== 'data-restart') valid.push(part)
    else
      valid.length = Math.max(
        0,
        valid.findLastIndex(({ type }) => type === 'step-start'),
      )
  }
  return valid
}
