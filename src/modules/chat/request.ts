import { AppError } from '../../errors'
import { toChatMessage } from '../../lib/tree'
import type { ChatMessage, ChatRequest, Provider } from '../../llm/port'
import type { Begun, Wallet } from '../../store/port'

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

/** What a provider is asked. The person's own key goes only to a provider that has keys of persons. */
export function toRequest(wallet: Wallet, provider: Provider, { model, messages, body }: Asked): ChatRequest {
  const { model: _model, stream: _stream, ...params } = body
  for (const key in params) if (params[key] === null) delete params[key]
  return { model, messages, params, apiKey: provider.personalKeys ? (wallet.litellmKey ?? undefined) : undefined }
}

/** The same provider. @throws AppError FORBIDDEN when it asks for a key of one's own and this person has none. */
export function payable(wallet: Wallet, provider: Provider): Provider {
  if (!provider.personalKeys || wallet.litellmKey || wallet.serverKey) return provider
  throw new AppError(
    'FORBIDDEN',
    'Your profile has no LiteLLM key yet. Ask whoever runs this service to set litellm_key in your user_profiles row',
  )
}

/** What a model is to see of a conversation: its instructions, the stored path, then what is new. */
export function contextOf(
  { systemPrompt, context }: Begun,
  { instructions = [], sent }: { instructions?: ChatMessage[]; sent: ChatMessage[] },
): ChatMessage[] {
  const system: ChatMessage[] = systemPrompt ? [{ role: 'system', content: systemPrompt }] : []
  return [...system, ...instructions, ...context.map(toChatMessage).filter(says), ...sent]
}

/** An answer that failed before its first word, or a file from elsewhere, says nothing, and some providers refuse empty messages. */
const says = ({ role, content, tool_calls }: ChatMessage): boolean =>
  role === 'tool' || Boolean(content) || tool_calls !== undefined

/** Stands in for a provider that could not be found, and says so when it is asked. */
export const failing = (error: unknown): Provider => ({
  name: 'none',
  listsAll: true,
  personalKeys: false,
  cost: () => null,
  models: async () => [],
  stream: () => ({ [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(error) }) }),
})
