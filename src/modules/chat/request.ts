import { settled } from '../../lib/steps'
import { estimateRequest } from '../../lib/token-estimate'
import { toChatMessages } from '../../lib/tree'
import type { ChatMessage, ChatModel, ChatRequest } from '../../llm/port'
import type { Asker } from '../../llm/router'
import type { Decision } from '../../llm/tool-answer'
import type { Begun, Owner, Wallet } from '../../store/port'

/** A chat body without what is ours: what is left is the provider's. */
export type Params = {
  model?: string | undefined
  stream?: unknown
  [key: string]: unknown
}

export interface Asked {
  model: string
  messages: ChatMessage[]
  body: Params
}

/** What somebody may use, and with which keys. */
export type Access = Pick<Asker, 'models' | 'providerKeys'>

/** Who wants an answer, for the router: it gives a person's own key only to providers that have keys of persons. */
export const askerOf = ({ tenantId, userId }: Owner, { litellmKey, serverKey }: Wallet, access: Access): Asker => ({
  ...access,
  tenantId,
  userId,
  personalKey: litellmKey,
  serverKey,
})

/** What is asked. */
export function toRequest(asker: Asker, { model, messages, body }: Asked): ChatRequest {
  const { model: _model, stream: _stream, server_tools: _tools, ...params } = body
  for (const key in params) if (params[key] === null) delete params[key]
  const { tenantId, userId, personalKey } = asker
  return { model, messages, params, apiKey: personalKey ?? undefined, caller: { tenantId, userId } }
}

/**
 * What a model is to see of a conversation: its instructions, the stored path, then what is new.
 * @param decisions about calls whose results are about to come.
 */
export function contextOf(
  { systemPrompt, context }: Pick<Begun, 'systemPrompt' | 'context'>,
  { instructions = [], sent, decisions = [] }: NewInContext,
): ChatMessage[] {
  const system: ChatMessage[] = systemPrompt ? [{ role: 'system', content: systemPrompt }] : []
  const path = context.flatMap(toChatMessages).filter(says)
  const waiting = new Set(decisions.map(({ call }) => call.id))
  return [...system, ...instructions, ...settled([...path, ...sent], waiting)]
}

interface NewInContext {
  instructions?: ChatMessage[] | undefined
  sent: ChatMessage[]
  decisions?: Decision[] | undefined
}

/** An answer that failed before its first word, or a file from elsewhere, says nothing, and some providers refuse empty messages. */
const says = ({ role, content, tool_calls, reasoning_details }: ChatMessage): boolean =>
  role === 'tool' || Boolean(content) || tool_calls !== undefined || reasoning_details !== undefined

/** Stands in for what could not be found, and says so when it is asked. */
export const failing = (error: unknown): ChatModel => ({
  stream: () => ({ [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(error) }) }),
})

/** Tokens of an answer that are expected, unless fewer are asked for. */
const EXPECTED_ANSWER = 1024

/** What an answer is expected to take, before anybody has counted: what is sent with the request, and an answer of some length. */
export const tokensOf = (messages: ChatMessage[], { max_completion_tokens, max_tokens, n, tools }: Params): number => {
  const limit = max_completion_tokens ?? max_tokens
  // What is no such number is the provider's to refuse: here it must not make the sum less than what is asked.
  const answer = typeof limit === 'number' && limit > 0 ? Math.min(limit, EXPECTED_ANSWER) : EXPECTED_ANSWER
  return estimateRequest({ messages, tools }) + answer * Math.max(1, Number(n ?? 1) || 1)
}
