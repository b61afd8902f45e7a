import { estimateRequest } from '../lib/token-estimate'
import type { UnknownPrice } from '../lib/unknown-price'
import type { Catalog } from './catalog'
import { percentOf } from './estimate'
import type { ChatRequest, Usage } from './port'
import { isDearer, type Prices, pricesByPolicy, type Rates } from './prices'
import type { Deployment } from './routes'

/** What an answer may cost before anybody knows: as the dearest of those charges who may make it. */
export interface Terms {
  /** Tokens of the request, estimated. */
  promptTokens: number
  /** Nano-dollars per million tokens. */
  inputRate: bigint
  outputRate: bigint
  /** Nano-dollars for the request itself. */
  requestNanos: bigint
  /** Tokens that an answer can have at most, where that is known. */
  maxOutputTokens: number | undefined
  /** Nobody knows the price of one of them: the rates are those of the others. */
  unpriced: boolean
  /** Part of what is asked for has a price that nobody has said: an answer in words, sound, a dearer tier. */
  partly: boolean
}

type Asked = Pick<ChatRequest, 'messages' | 'params'>

interface TermsDeps {
  catalog: Pick<Catalog, 'facts'>
  policy: UnknownPrice
}

/** The terms of a request to any of these deployments. */
export function termsOf(deployments: Deployment[], request: Asked, { catalog, policy }: TermsDeps): Terms {
  const estimate = estimateRequest({ messages: request.messages, tools: request.params.tools })
  const terms: Terms = {
    promptTokens: 0,
    inputRate: 0n,
    outputRate: 0n,
    requestNanos: 0n,
    maxOutputTokens: undefined,
    unpriced: false,
    partly: false,
  }
  for (const deployment of deployments) {
    const { prices, maxOutputTokens } = catalog.facts(deployment)
    const tokens = Math.ceil((estimate * percentOf(deployment.model)) / 100)
    terms.promptTokens = Math.max(terms.promptTokens, tokens)
    if (maxOutputTokens) terms.maxOutputTokens = Math.max(terms.maxOutputTokens ?? 0, maxOutputTokens)
    const own = ownPrices(deployment)
    const known = own ?? prices ?? pricesByPolicy(policy)
    if (!own && prices && lacks(prices, request)) terms.partly = true
    if (known?.input === undefined && known?.output === undefined) terms.unpriced = true
    for (const rates of known ? ratesIn(known, tokens, request) : []) raise(terms, rates, request)
  }
  return terms
}

/** Of a provider that names its costs itself: a demonstration is free. */
function ownPrices({ provider }: Deployment): Prices | undefined {
  const of = (prompt_tokens: number, completion_tokens: number): Usage => ({
    prompt_tokens,
    completion_tokens,
    total_tokens: prompt_tokens + completion_tokens,
  })
  const [input, output] = [provider.cost(of(1_000_000, 0)), provider.cost(of(0, 1_000_000))]
  return input === null || output === null ? undefined : { input, output }
}

/** Tokens are estimated: what is for many of them may begin a little earlier. */
const NEAR = 0.8

/** All rates that may hold for the request: the tier that it asks for, and those of long ones. */
function ratesIn({ above = [], tiers = {}, ...usual }: Prices, tokens: number, { params }: Asked): Rates[] {
  const tier = typeof params.service_tier === 'string' ? params.service_tier : ''
  const served = Object.hasOwn(tiers, tier) ? tiers[tier] : undefined
  const long = above.filter((step) => tokens > step.tokens * NEAR).map(({ rates }) => rates)
  return [usual, ...long, ...(served ? [served] : [])]
}

function lacks(prices: Prices, { messages, params }: Asked): boolean {
  const { output, audioInput = prices.audioSeconds, audioOutput } = prices
  if (output === undefined || isDearer(String(params.service_tier), prices)) return true
  return (has(messages, 'input_audio') && audioInput === undefined) || (speaks(params) && audioOutput === undefined)
}

const speaks = ({ modalities }: Asked['params']): boolean => Array.isArray(modalities) && modalities.includes('audio')

function raise(terms: Terms, rates: Rates, { messages, params }: Asked): void {
  const cached = caches(messages, params) ? [rates.cacheWrite, rates.cacheWriteHour] : []
  const heard = has(messages, 'input_audio') ? [rates.audioInput] : []
  const spoken = speaks(params) ? [rates.audioOutput] : []
  terms.inputRate = most(terms.inputRate, rates.input, rates.imageInput, ...cached, ...heard)
  terms.outputRate = most(terms.outputRate, rates.output, rates.reasoning, ...spoken)
  // A rate for a request is for a million of them, like all others.
  terms.requestNanos = most(terms.requestNanos, (rates.request ?? 0n) / 1_000_000n)
}

const most = (...nanos: (bigint | undefined)[]): bigint => nanos.reduce<bigint>((a, b = 0n) => (b > a ? b : a), 0n)

const caches = (messages: ChatRequest['messages'], params: ChatRequest['params']): boolean =>
  params.cache_control !== undefined || has(messages, 'cache_control') || has(params.tools, 'cache_control')

/** Whether one of these, or one of its parts, has the key. */
const has = (items: unknown, key: string): boolean =>
  Array.isArray(items) &&
  items.some(
    (item) =>
      typeof item === 'object' && item !== null && (key in item || has((item as { content?: unknown }).content, key)),
  )
