import { AppError, toAppError } from '../errors'
import { keyFor, type ProviderKeys } from './keys'
import type { Embedded, EmbedRequest } from './port'
import type { Deployment } from './routes'
import { refused, unreachable } from './upstream-error'

/** Vectors, and who made them. */
export interface EmbeddedBy extends Embedded {
  by: Deployment
}

/**
 * Vectors from the first deployment that gives them. One whose API has none is passed over, one that fails is too.
 * @throws AppError BAD_REQUEST when no API has them, otherwise what the last one failed with.
 */
export async function embed(
  deployments: Deployment[],
  { request, tenantKeys: tenant }: { request: EmbedRequest; tenantKeys?: ProviderKeys | undefined },
  signal: AbortSignal,
): Promise<EmbeddedBy> {
  let failure = new AppError(
    'BAD_REQUEST',
    'The provider of this model makes no embeddings. Choose a model of a provider with the OpenAI Embeddings API',
  )
  for (const by of deployments) {
    const { provider, model } = by
    if (!provider.embed) continue
    const apiKey = keyFor(provider, { personal: request.apiKey, tenant })
    try {
      return { ...(await provider.embed({ ...request, model, apiKey }, signal)), by }
    } catch (error) {
      signal.throwIfAborted()
      failure = toAppError(error)
      if (failure.fault === 'request') break
    }
  }
  throw failure
}

export interface EmbedCall {
  url: string
  headers: Record<string, string>
  request: EmbedRequest
  /** Milliseconds that it may take. */
  timeoutMs: number
}

/** Asks an API like OpenAI's, https://platform.openai.com/docs/api-reference/embeddings. @throws AppError UPSTREAM_* */
export async function fetchEmbeddings(call: EmbedCall, outer: AbortSignal): Promise<Embedded> {
  const { url, headers, request, timeoutMs } = call
  const { model, input, params } = request
  const limit = AbortSignal.timeout(timeoutMs)
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ ...params, model, input }),
      signal: AbortSignal.any([outer, limit]),
      // A redirect could carry the key and the texts to another host.
      redirect: 'error',
    })
    if (!response.ok) throw await refused(response)
    return toEmbedded(await response.json(), input.length)
  } catch (error) {
    if (outer.aborted) throw outer.reason
    if (limit.aborted) {
      throw new AppError('UPSTREAM_TIMEOUT', `The embeddings took longer than ${timeoutMs / 1000} s`, { cause: error })
    }
    if (error instanceof SyntaxError) throw notEmbeddings()
    throw unreachable(error)
  }
}

const notEmbeddings = () =>
  new AppError('UPSTREAM_ERROR', 'The model provider sent something that is not a list of embeddings')

/** Every input must have its vector: one too few would put each later one beside the wrong text. */
function toEmbedded(body: unknown, count: number): Embedded {
  const { data, usage } = (body ?? {}) as { data?: unknown; usage?: { prompt_tokens?: number; total_tokens?: number } }
  if (!Array.isArray(data) || data.length !== count) throw notEmbeddings()
  const vectors: (number[] | string)[] = []
  for (const [i, item] of data.entries()) {
    const { index = i, embedding } = (item ?? {}) as { index?: number; embedding?: unknown }
    if (!isVector(embedding) || vectors[index] !== undefined || !(index in data)) throw notEmbeddings()
    vectors[index] = embedding
  }
  const prompt_tokens = usage?.prompt_tokens ?? 0
  return { vectors, usage: { prompt_tokens, total_tokens: usage?.total_tokens ?? prompt_tokens } }
}

const isVector = (value: unknown): value is number[] | string =>
  typeof value === 'string' || (Array.isArray(value) && value.every((number) => typeof number === 'number'))

/** Numbers in a demo vector. */
const DEMO_SIZE = 64

/** Unit vectors that depend on nothing but the input: enough to try a search with, though near means nothing in them. */
export function demoEmbeddings({ input, params }: EmbedRequest): Embedded {
  const size = typeof params.dimensions === 'number' ? params.dimensions : DEMO_SIZE
  const tokens = input.reduce(
    (sum: number, text) => sum + (typeof text === 'string' ? (text.match(/\S+/g)?.length ?? 0) : text.length),
    0,
  )
  return {
    vectors: input.map((text) => unitVector(typeof text === 'string' ? text : text.join(' '), size)),
    usage: { prompt_tokens: tokens, total_tokens: tokens },
  }
}

function unitVector(text: string, size: number): number[] {
  const numbers: number[] = []
  for (let block = 0; numbers.length < size; block++) {
    for (const byte of new Bun.CryptoHasher('sha256').update(`${block}:${text}`).digest()) numbers.push(byte - 127.5)
  }
  const vector = numbers.slice(0, size)
  const length = Math.hypot(...vector)
  return vector.map((number) => number / length)
}
