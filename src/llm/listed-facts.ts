import { type Capability, isPriced, type ModelFacts, perToken, positive } from './facts'
import type { Prices } from './prices'

/**
 * What a provider's own list says of a model, beside its name. OpenAI's says nothing, others more:
 * Anthropic https://platform.claude.com/docs/en/api/models/list, OpenRouter https://openrouter.ai/docs/models,
 * Groq https://console.groq.com/docs/models, Mistral https://docs.mistral.ai/api/endpoint/models, vLLM (`max_model_len`).
 */
export function listedFacts(item: Record<string, unknown>): ModelFacts | undefined {
  const top = record(item.top_provider)
  const facts: ModelFacts = {
    displayName: [item.display_name, item.name].map(text).find((name) => name && name !== item.id),
    contextWindow:
      positive(item.max_input_tokens) ??
      positive(item.context_window) ??
      positive(item.context_length) ??
      positive(item.max_context_length) ??
      positive(item.max_model_len),
    maxOutputTokens:
      positive(item.max_completion_tokens) ?? positive(top.max_completion_tokens) ?? positive(item.max_tokens),
    capabilities: ofSupport(item.capabilities) ?? ofParameters(item),
    ...pricing(record(item.pricing)),
  }
  return Object.values(facts).some((fact) => fact !== undefined) ? facts : undefined
}

/** Anthropic's words (`{ image_input: { supported } }`) and Mistral's (`{ vision: true }`). */
const WORDS: [Capability, ...string[]][] = [
  ['vision', 'image_input', 'vision'],
  ['tools', 'function_calling'],
  ['reasoning', 'thinking', 'reasoning'],
  ['json', 'structured_outputs'],
  ['pdf', 'pdf_input'],
  ['audio', 'audio'],
]

function ofSupport(value: unknown): Capability[] | undefined {
  const said = record(value)
  const has = (word: string) => said[word] === true || record(said[word]).supported === true
  const found = WORDS.flatMap(([capability, ...words]) => (words.some(has) ? [capability] : []))
  // Anthropic's list has no word for tools, which all of its models have.
  if ('image_input' in said && !found.includes('tools')) found.push('tools')
  return Object.keys(said).length > 0 ? found : undefined
}

/** OpenRouter's parameters and kinds of input. */
function ofParameters({ supported_parameters, architecture }: Record<string, unknown>): Capability[] | undefined {
  if (!Array.isArray(supported_parameters)) return undefined
  const inputs = record(architecture).input_modalities
  const takes = (kind: string) => Array.isArray(inputs) && inputs.includes(kind)
  const all: [Capability, boolean][] = [
    ['vision', takes('image')],
    ['tools', supported_parameters.includes('tools')],
    ['reasoning', supported_parameters.includes('reasoning')],
    ['json', supported_parameters.includes('structured_outputs')],
    ['pdf', takes('file')],
    ['audio', takes('audio')],
  ]
  return all.flatMap(([capability, has]) => (has ? [capability] : []))
}

/** OpenRouter's prices: dollars a token, as strings. */
function pricing(said: Record<string, unknown>): Pick<ModelFacts, 'prices' | 'priceSource'> {
  const prices: Prices = {
    input: perToken(said.prompt),
    output: perToken(said.completion),
    cachedInput: perToken(said.input_cache_read),
    cacheWrite: perToken(said.input_cache_write),
    reasoning: perToken(said.internal_reasoning) || undefined,
    audioInput: perToken(said.audio) || undefined,
    // By the request; everything else by the token.
    request: perToken(said.request) || undefined,
  }
  return isPriced(prices) ? { prices, priceSource: 'provider' } : {}
}

const text = (value: unknown): string | undefined => (typeof value === 'string' && value ? value : undefined)

const record = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
