import { type Capability, isPriced, type ModelFacts, perToken, positive } from './facts'
import { type OpenAiCompatibleOptions, openAiCompatible } from './openai-compatible'
import type { Provider } from './port'
import type { Prices, Rates } from './prices'
import { refused, unreachable } from './upstream-error'

/** A LiteLLM proxy. With a key of the server's own it also tells what it knows of its models. */
export function liteLlm({ personalKeys = true, ...options }: OpenAiCompatibleOptions): Provider {
  const { baseUrl, apiKey } = options
  const provider = openAiCompatible({ ...options, personalKeys })
  if (!apiKey) return provider
  return {
    ...provider,
    async details(signal) {
      try {
        const url = `${baseUrl.replace(/\/v1$/, '')}/model/info`
        const headers = { authorization: `Bearer ${apiKey}` }
        const response = await fetch(url, { headers, signal, redirect: 'error' })
        if (!response.ok) throw await refused(response)
        return readDetails(await response.json())
      } catch (error) {
        throw unreachable(error)
      }
    },
  }
}

/** The answer of LiteLLM's `GET /model/info`, by its public names; of several deployments of one name, the first. */
export function readDetails(body: unknown): Map<string, ModelFacts> {
  const { data } = record(body)
  const all = new Map<string, ModelFacts>()
  for (const item of Array.isArray(data) ? data : []) {
    const { model_name, model_info } = record(item)
    if (typeof model_name === 'string' && !all.has(model_name)) all.set(model_name, factsOf(record(model_info)))
  }
  return all
}

const SUPPORTS: [Capability, string][] = [
  ['vision', 'supports_vision'],
  ['tools', 'supports_function_calling'],
  ['reasoning', 'supports_reasoning'],
  ['json', 'supports_response_schema'],
  ['pdf', 'supports_pdf_input'],
  ['audio', 'supports_audio_input'],
]

/** Names from LiteLLM's `model_prices_and_context_window.json`, which describes each. */
function factsOf(info: Record<string, unknown>): ModelFacts {
  const prices: Prices = { ...ratesOf(info), ...longerOf(info), ...tiersOf(info) }
  const known = SUPPORTS.some(([, name]) => typeof info[name] === 'boolean')
  const at = info.deprecation_date
  return {
    vendor: typeof info.litellm_provider === 'string' ? info.litellm_provider : undefined,
    contextWindow: positive(info.max_input_tokens),
    maxOutputTokens: positive(info.max_output_tokens),
    capabilities: known ? SUPPORTS.flatMap(([what, name]) => (info[name] === true ? [what] : [])) : undefined,
    deprecatedAt: typeof at === 'string' && /^\d{4}-\d{2}-\d{2}$/.test(at) ? at : undefined,
    ...(isPriced(prices) ? { prices, priceSource: 'litellm' } : {}),
  }
}

const ratesOf = (info: Record<string, unknown>, long = ''): Rates => ({
  input: perToken(info[`input_cost_per_token${long}`]),
  output: perToken(info[`output_cost_per_token${long}`]),
  cachedInput: perToken(info[`cache_read_input_token_cost${long}`]),
  cacheWrite: perToken(info[`cache_creation_input_token_cost${long}`]),
  cacheWriteHour: perToken(info[`cache_creation_input_token_cost_above_1hr${long}`]),
  ...(long ? {} : othersOf(info)),
})

const othersOf = (info: Record<string, unknown>): Rates => ({
  reasoning: perToken(info.output_cost_per_reasoning_token),
  audioInput: perToken(info.input_cost_per_audio_token),
  cachedAudio: perToken(info.cache_read_input_audio_token_cost),
  imageInput: perToken(info.input_cost_per_image_token),
  audioOutput: perToken(info.output_cost_per_audio_token),
  audioSeconds: perToken(info.input_cost_per_audio_per_second),
  request: perToken(info.input_cost_per_request),
})

/** What LiteLLM knows of OpenAI's service tiers. */
function tiersOf(info: Record<string, unknown>): Pick<Prices, 'tiers'> {
  const tiers = ['priority', 'flex'].flatMap((tier) => {
    const rates = ratesOf(info, `_${tier}`)
    return isPriced(rates) ? [[tier, { ...ratesOf(info), ...defined(rates) }]] : []
  })
  return tiers.length > 0 ? { tiers: Object.fromEntries(tiers) } : {}
}

/** The rates of long requests, where they are others. */
function longerOf(info: Record<string, unknown>) {
  const rates = ratesOf(info, '_above_200k_tokens')
  return isPriced(rates) ? { above: [{ tokens: 200_000, rates: { ...ratesOf(info), ...defined(rates) } }] } : {}
}

const defined = (rates: Rates): Rates =>
  Object.fromEntries(Object.entries(rates).filter(([, rate]) => rate !== undefined))

const record = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
