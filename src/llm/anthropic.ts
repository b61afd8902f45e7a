import { AppError } from '../errors'
import { MessageFrames } from './anthropic-reader'
import { toAnthropic } from './anthropic-request'
import { claudeTraits } from './claude'
import type { Timeouts } from './deadlines'
import { listedFacts } from './listed-facts'
import type { ModelInfo, Provider } from './port'
import { refused, unreachable } from './upstream-error'
import { streamFrom } from './upstream-stream'

export interface AnthropicOptions {
  /** For logs, metrics and `/health`. */
  name?: string
  /** With or without `/v1` at its end. */
  baseUrl?: string
  apiKey?: string | undefined
  /** Tokens an answer may have when the caller does not say: the API wants a number. */
  maxTokens?: (model: string) => number
  timeouts: Timeouts
}

export const ANTHROPIC_URL = 'https://api.anthropic.com'

/** Tokens that every model this API serves can give. */
const MAX_TOKENS = 4096

/** Anything that speaks the Anthropic Messages API. Always streams: an answer that takes minutes must not look dead. */
export function anthropic({
  name = 'anthropic',
  baseUrl = ANTHROPIC_URL,
  apiKey,
  maxTokens = () => MAX_TOKENS,
  timeouts,
}: AnthropicOptions): Provider {
  const root = baseUrl.replace(/\/+$/, '').replace(/\/v1$/, '')
  const headers = (key = apiKey): Record<string, string> => ({
    'anthropic-version': '2023-06-01',
    ...(key ? { 'x-api-key': key } : {}),
  })
  return {
    name,
    listsAll: false,
    personalKeys: false,
    baseUrl: root,
    prefills: (model) => claudeTraits(model).prefill,
    cost: () => null,
    async *stream(request, signal) {
      const body = toAnthropic(request, maxTokens(request.model))
      const url = `${root}/v1/messages`
      yield* streamFrom({ url, headers: headers(request.apiKey), body, reader: new MessageFrames(), timeouts }, signal)
    },
    async models(signal) {
      try {
        // One page holds them all: the API has a few dozen models.
        const url = `${root}/v1/models?limit=1000`
        const response = await fetch(url, { headers: headers(), signal, redirect: 'error' })
        if (!response.ok) throw await refused(response)
        return toModels(await response.json(), name)
      } catch (error) {
        throw unreachable(error)
      }
    },
  }
}

function toModels(body: unknown, ownedBy: string): ModelInfo[] {
  const list = typeof body === 'object' && body !== null && 'data' in body ? body.data : undefined
  if (!Array.isArray(list)) {
    throw new AppError('UPSTREAM_ERROR', 'The model provider sent something that is not a model list')
  }
  return list.flatMap((item: { id?: unknown; created_at?: unknown } | null): ModelInfo[] => {
    if (typeof item?.id !== 'string') return []
    const created = Math.floor(Date.parse(String(item.created_at)) / 1000) || 0
    return [{ id: item.id, ownedBy, created, facts: listedFacts({ ...item }) }]
  })
}
