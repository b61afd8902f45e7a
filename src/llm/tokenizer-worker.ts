import { countTokens } from 'gpt-tokenizer/encoding/o200k_base'
import { pieces } from './tokenizer-pieces'

declare const self: Worker

/** Names of special tokens are text like any other: people write them, and it must not throw. */
const AS_TEXT = { allowedSpecial: new Set<string>(), disallowedSpecial: new Set<string>() }

self.onmessage = ({ data: { id, texts } }: MessageEvent<{ id: number; texts: string[] }>) => {
  const counts = texts.map((text) => {
    let tokens = 0
    for (const piece of pieces(text)) tokens += countTokens(piece, AS_TEXT)
    return tokens
  })
  self.postMessage({ id, counts })
}
