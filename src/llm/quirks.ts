import type { ChatMessage, ChatRequest } from './port'

/** How a service that speaks the OpenAI API differs from it. */
export interface Quirks {
  /** It refuses `stream_options` and reports usage without being asked. */
  noStreamOptions?: boolean
  /**
   * It refuses keys it does not know, so what only Anthropic's models understand is left out: thinking and its
   * signatures, `cache_control`, `top_k`. Others ignore such keys or pass them on to such a model.
   */
  strict?: boolean
  /** The name it has for the limit of an answer, when it refuses the other one. */
  maxTokens?: 'max_tokens' | 'max_completion_tokens'
}

/** The body of a Chat Completions request, with usage always asked for: it is what the answer is charged by. */
export function chatBody({ model, messages, params }: ChatRequest, quirks: Quirks): Record<string, unknown> {
  const { stream_options, ...rest } = quirks.strict ? withoutAnthropic(params) : params
  return {
    ...limited(rest, quirks.maxTokens),
    model,
    messages: messages.map((message) => sendable(message, quirks)),
    stream: true,
    ...(quirks.noStreamOptions
      ? {}
      : { stream_options: { ...(stream_options as object | undefined), include_usage: true } }),
  }
}

function limited(params: Record<string, unknown>, name: Quirks['maxTokens']): Record<string, unknown> {
  const { max_tokens, max_completion_tokens, ...rest } = params
  const limit = max_completion_tokens ?? max_tokens
  return name && limit !== undefined ? { ...rest, [name]: limit } : params
}

function withoutAnthropic(params: Record<string, unknown>): Record<string, unknown> {
  const { thinking, top_k, output_config, cache_control, tools, ...rest } = params
  return { ...rest, ...(tools === undefined ? {} : { tools: Array.isArray(tools) ? tools.map(uncached) : tools }) }
}

/** Signed thoughts are for the model that had them; anybody else is sent the message without. */
function sendable(message: ChatMessage, { strict }: Quirks): ChatMessage {
  if (!strict && message.reasoning_details === undefined) return message
  const { reasoning_details, reasoning_content, is_error, ...rest } = message
  if (!strict) return is_error === undefined ? rest : { ...rest, is_error }
  return Array.isArray(rest.content) ? { ...rest, content: rest.content.map(uncached) } : rest
}

function uncached(part: unknown): unknown {
  if (typeof part !== 'object' || part === null || !('cache_control' in part)) return part
  const { cache_control, ...rest } = part
  return rest
}
