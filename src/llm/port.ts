import type { ModelFacts } from './facts'
import type { Counts, Kind } from './metering'

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
  /** Who asks: for allow-lists and splits that stick to a person. Never sent to a provider. */
  caller?: { tenantId: string; userId: string } | undefined
  /** Whether the answer may begin anew when it broke off in the middle; default: it may. See `{ type: 'restart' }`. */
  mayRestart?: boolean | undefined
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
  | UsageEvent
  /** Facts about the answer as a whole: `model` that really answered, `system_fingerprint`, `service_tier`, … */
  | { type: 'meta'; fields: Record<string, unknown> }
  /** Who answers: before the first piece, and again when another one takes over. */
  | ServedBy
  /** All pieces so far are void: the answer begins anew, by somebody else. */
  | { type: 'restart' }

/** What an answer took. Providers say the first four, who knows prices the others. */
export interface UsageEvent {
  type: 'usage'
  /** As the provider reports it, for clients and for the record. */
  usage: Usage
  /** The same in one form for all providers; absent when nobody read it, or when the counts are none. */
  counts?: Counts | undefined
  /** How the provider served it: `default`, `priority`, `flex`, `batch`, … */
  serviceTier?: string | undefined
  /** Nano-dollars that the provider itself says it costs. */
  reportedNanos?: bigint | undefined
  /** Nano-dollars; null or absent while nobody has said what this model costs. */
  costNanos?: bigint | null
  /** The same by kind; adds up to it. */
  costParts?: Partial<Record<Kind, bigint>> | undefined
  /** The name of the prices that it was rated with: see `versionOf` in prices.ts. */
  priceVersion?: string | undefined
  /**
   * Whether the provider counted, or this server did because it did not, or the provider, read to the end after the reader
   * had left. Absent: the provider.
   */
  costBasis?: 'provider' | 'estimated' | 'drained' | undefined
}

export interface ServedBy {
  type: 'served'
  /** For logs, metrics and the run's row. */
  provider: string
  /** The provider's own word for the model. */
  model: string
  /** Which arm of an A/B split this is. */
  variant?: string | undefined
}

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

/** What is to become vectors, in the words of the OpenAI Embeddings API. */
export interface EmbedRequest {
  model: string
  /** Texts, or each text as the model's tokens. */
  input: string[] | number[][]
  /** `dimensions`, `encoding_format`, `user`, … */
  params: Record<string, unknown>
  /** The caller's own key at the provider; used in place of the server's. */
  apiKey?: string | undefined
}

export interface Embedded {
  /** One for each input, in that order: numbers, or 32-bit floats (little-endian) as base64. */
  vectors: (number[] | string)[]
  usage: { prompt_tokens: number; total_tokens: number }
}

export interface ModelInfo {
  id: string
  ownedBy: string
  /** Unix seconds, when the provider says. */
  created: number
  /** What else its list says of it. */
  facts?: ModelFacts | undefined
}

/** A provider: it answers and it knows which models it has. */
export interface Provider extends ChatModel {
  /** What to call it in logs, metrics and `/health`. */
  readonly name: string
  /** Whether its list is complete: a model that is not in it does not exist. */
  readonly listsAll: boolean
  /** Whether people have keys of their own here (LiteLLM). A key is never sent to a provider that does not. */
  readonly personalKeys: boolean
  /** Where it is, for what is known of services by their address. */
  readonly baseUrl?: string | undefined
  /** What becomes of a stream whose reader left: it is closed, or read to its usage. Absent: as the server is set. */
  readonly cancelled?: 'cancel' | 'drain' | undefined
  /** Whether this model goes on from an assistant message at the end of the conversation; default: no. */
  prefills?(model: string): boolean
  /** Makes vectors of texts; absent where the API has no such thing. @throws AppError as `stream` does. */
  embed?(request: EmbedRequest, signal: AbortSignal): Promise<Embedded>
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
  /** What it knows of its models, by their names, when it tells apart from its list. @throws AppError UPSTREAM_* */
  details?(signal: AbortSignal): Promise<Map<string, ModelFacts>>
}
