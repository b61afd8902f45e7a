import type { ChatMessage } from '../../llm/port'
import type { Decision } from '../../llm/tool-answer'
import type { Params } from './request'

/** Characters that what is kept of a request may have: it is written with every answer. */
const MAX_KEPT = 64 * 1024

interface Begun {
  body: Params
  instructions?: ChatMessage[] | undefined
  messages?: ChatMessage[] | undefined
  tools?: boolean | undefined
  decisions?: Decision[] | undefined
}

/** What is kept of a turn so that another process can make its answer again; the rest is in the conversation. */
export interface KeptRequest {
  body: Params
  /** System messages of this turn only. */
  instructions?: ChatMessage[]
  /** What the model was to see, where the client decided that. */
  messages?: ChatMessage[]
  /** The API key that it came with. */
  key_id?: string
}

/**
 * @param hasTools whether this server has tools.
 * @returns undefined for what is not to be made again: it is too long, or may have called tools, which must not be called twice.
 */
export function keptRequest(turn: Begun, { hasTools, keyId }: { hasTools: boolean; keyId: string | undefined }) {
  const { body, instructions = [], messages, tools, decisions } = turn
  if (decisions || (tools && hasTools)) return undefined
  const kept: KeptRequest = {
    body,
    ...(instructions.length > 0 ? { instructions } : {}),
    ...(messages ? { messages } : {}),
    ...(keyId ? { key_id: keyId } : {}),
  }
  return JSON.stringify(kept).length > MAX_KEPT ? undefined : { ...kept }
}
