/** A message as the OpenAI Chat Completions API writes it. Keys we do not know are kept as they are. */
export interface ChatMessage {
  role: string
  content?: unknown
  [key: string]: unknown
}

export interface ChatRequest {
  model: string
  messages: ChatMessage[]
  /** Everything else of the request, in the words of the Chat Completions API: temperature, tools, seed, … */
  params: Record<string, unknown>
  /** The caller's own key at the provider; used in place of the server's. */
  apiKey?: string | undefined
}

/** One step of one choice. `delta` is OpenAI's delta object with whatever the provider put into it. */
export interface ChoiceDelta {
  type: 'delta'
  index: number
  delta: Record<string, unknown>
  logprobs?: unknown
}

/** Token counts as the Chat Completions API reports them, details included. */
export interface Usage {
  prompt_tokens: number
  completion_tokens: number
  total_tokens: number
  [key: string]: unknown
}

/**
 * What a model says, piece by piece. A bare string is a piece of the text of choice 0: by far the most common event,
 * and a string is the cheapest way to keep ten thousand of them.
 */
export type ChatEvent =
  | string
  | ChoiceDelta
  | { type: 'finish'; index: number; reason: string }
  | { type: 'usage'; usage: Usage }
  /** Facts about the answer as a whole: `model` that really answered, `system_fingerprint`, `service_tier`, … */
  | { type: 'meta'; fields: Record<string, unknown> }

/** Something that answers. Failover, breaker and caches are ChatModels that wrap a ChatModel. */
export interface ChatModel {
  /**
   * Asks once. The iteration ends normally only when the answer is complete; a cut or silent provider throws.
   * Aborting `signal` closes the connection to the provider at once.
   * @throws AppError: BAD_REQUEST or NOT_FOUND when the request is at fault, RATE_LIMIT_EXCEEDED,
   *   UPSTREAM_ERROR, UPSTREAM_UNAVAILABLE or UPSTREAM_TIMEOUT when the provider is.
   */
  stream(request: ChatRequest, signal: AbortSignal): AsyncIterable<ChatEvent>
}

export interface ModelInfo {
  id: string
  ownedBy: string
  /** Unix seconds, when the provider says. */
  created: number
}

/** A provider: it answers and it knows which models it has. */
export interface Provider extends ChatModel {
  /** What to call it in logs, metrics and `/health`. */
  readonly name: string
  /** Whether its list is complete: a model that is not in it does not exist. */
  readonly listsAll: boolean
  /** Whether people have keys of their own here (LiteLLM). A key is never sent to a provider that does not. */
  readonly personalKeys: boolean
  /** Nano-dollars that an answer costs, or null while nobody has said. */
  cost(usage: Usage): bigint | null
  /**
   * @param personalKey used when the server has no key of its own here.
   * @throws AppError UPSTREAM_* when the list cannot be had.
   */
  models(signal: AbortSignal, personalKey?: string | null): Promise<ModelInfo[]>
  /**
   * Resolves when it answers at all. Only where people have keys and the server has none: it cannot ask for the list.
   * @throws AppError UPSTREAM_*
   */
  ping?(signal: AbortSignal): Promise<void>
}
