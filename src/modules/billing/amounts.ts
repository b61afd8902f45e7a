import { withMargin } from '../../lib/margin'
import { millionths } from '../../lib/money'
import type { ChatRequest } from '../../llm/port'
import type { Terms } from '../../llm/terms'
import type { Settlement, UsageBeginning } from '../../store/port-money'

/** Money that is kept back for one answer. */
export interface Held {
  id: string
  /** Nano-dollars. */
  amount: bigint
  /** Whether anything could refuse more. */
  limited: boolean
  terms: Terms
  marginBp: number
  usage: UsageBeginning
  reservation: NonNullable<Settlement['reservation']>
  /** The request, with its answer as short as the balance has it. */
  request: ChatRequest
  /** The answer was made shorter. */
  clipped: boolean
}

/** Tokens of an answer that money is kept back for at first: most answers are shorter, and longer ones are extended. */
export const FIRST_OUTPUT = 4096
/** Tokens below which an answer is not worth beginning. */
const LEAST_OUTPUT = 16
/** What is kept back for a request: its estimate and a fifth, as near as estimates are, and a few tokens for its frame. */
const PROMPT_SHARE = 1.2
const PROMPT_FRAME = 16
/** Nobody gives so many; callers write any number. */
const MOST_CHOICES = 1000
/** One million dollars: no more is kept back, or charged, at once. */
export const MOST = 1_000_000_000_000_000n

/** What so many tokens of an answer cost here. */
export const outputCost = ({ terms, marginBp }: Pick<Held, 'terms' | 'marginBp'>, tokens: number): bigint =>
  withMargin(millionths(BigInt(Math.ceil(tokens)) * terms.outputRate), marginBp)

/** What the request itself costs here, without the answer. */
export const promptCost = ({ terms, marginBp }: Pick<Held, 'terms' | 'marginBp'>, tokens: number): bigint =>
  withMargin(terms.requestNanos + millionths(BigInt(Math.ceil(tokens)) * terms.inputRate), marginBp)

/** How many answers are asked for at once. */
export const choices = ({ params }: Pick<ChatRequest, 'params'>): number =>
  Math.ceil(Math.min(MOST_CHOICES, Math.max(1, Number(params.n ?? 1) || 1)))

export function amountOf(terms: Terms, marginBp: number, output: number): bigint {
  const prompt = promptCost({ terms, marginBp }, terms.promptTokens * PROMPT_SHARE + PROMPT_FRAME)
  const amount = prompt + outputCost({ terms, marginBp }, output)
  // Also what is free is written down.
  if (amount <= 0n) return 1n
  return amount < MOST ? amount : MOST
}

/** The same for less money; undefined when it does not pay for a few words. */
export function clip(held: Held, available: bigint) {
  const { terms, marginBp, request } = held
  const wanted = limitOf(request.params) ?? Number.POSITIVE_INFINITY
  const least = amountOf(terms, marginBp, Math.min(wanted, LEAST_OUTPUT) * choices(request))
  if (available < least) return undefined
  const limit = Math.min(wanted, payable(held, available))
  return { amount: available, request: shortened(request, Number.isFinite(limit) ? limit : FIRST_OUTPUT) }
}

/**
 * The same request with an answer that all there is can pay, where it is known to get longer otherwise: what is thought
 * and not shown cannot be cut when the money is used up.
 */
export function clipped(held: Held, available: bigint): ChatRequest {
  const { terms, request } = held
  const wanted = limitOf(request.params) ?? terms.maxOutputTokens
  if (wanted === undefined) return request
  const tokens = payable(held, available)
  return tokens < wanted ? shortened(request, tokens) : request
}

/** Tokens of each answer that so much pays for: a few in any case. */
function payable({ terms, marginBp, request }: Held, available: bigint): number {
  const perMillion = withMargin(terms.outputRate, marginBp) * BigInt(choices(request))
  if (perMillion <= 0n) return Number.POSITIVE_INFINITY
  return Math.max(LEAST_OUTPUT, Number(((available - amountOf(terms, marginBp, 0)) * 1_000_000n) / perMillion))
}

function shortened({ params, ...request }: ChatRequest, limit: number): ChatRequest {
  const { max_completion_tokens, max_tokens, ...rest } = params
  const name = max_completion_tokens == null ? 'max_tokens' : 'max_completion_tokens'
  return { ...request, params: { ...rest, [name]: limit } }
}

export function limitOf(params: ChatRequest['params']): number | undefined {
  const limit = params.max_completion_tokens ?? params.max_tokens
  return typeof limit === 'number' && limit > 0 ? limit : undefined
}
