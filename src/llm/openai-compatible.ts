import { AppError } from '../errors'
import { Chunks } from './chunk-reader'
import type { Timeouts } from './deadlines'
import { fetchEmbeddings } from './embeddings'
import { listedFacts } from './listed-facts'
import type { ModelInfo, Provider } from './port'
import { quirksOf, WELL_KNOWN } from './providers'
import { chatBody, type Quirks } from './quirks'
import { refused, unreachable } from './upstream-error'
import { streamFrom } from './upstream-stream'

export interface OpenAiCompatibleOptions {
  /** For logs, metrics and `/health`. */
  name: string
  /** With or without the trailing `/v1`, as the provider documents it. */
  baseUrl: string
  apiKey?: string | undefined
  /** See `Provider.personalKeys`. */
  personalKeys?: boolean
  timeouts: Timeouts
  /** How it differs from OpenAI; known for the services of `providers.ts`. */
  quirks?: Quirks
  /** Where a model is asked, when that is not `{baseUrl}/chat/completions`. */
  chatUrl?: (model: string) => string
  /** The header the key goes into, when that is not `authorization`. */
  keyHeader?: string
}

/** Anything that speaks the OpenAI Chat Completions API: OpenAI, LiteLLM, vLLM, Ollama, OpenRouter, … */
export function openAiCompatible({
  name,
  baseUrl,
  apiKey,
  personalKeys = false,
  timeouts,
  quirks = quirksOf(baseUrl),
  chatUrl = () => `${baseUrl}/chat/completions`,
  keyHeader,
}: OpenAiCompatibleOptions): Provider {
  const headers = (key = apiKey): Record<string, string> => {
    if (!key) return {}
    return keyHeader ? { [keyHeader]: key } : { authorization: `Bearer ${key}` }
  }

  return {
    name,
    listsAll: false,
    personalKeys,
    baseUrl,
    cost: () => null,
    stream: (request, signal) =>
      streamFrom(
        {
          url: chatUrl(request.model),
          headers: headers(request.apiKey),
          body: chatBody(request, quirks),
          reader: new Chunks(),
          timeouts,
        },
        signal,
      ),
    embed: (request, signal) =>
      fetchEmbeddings(
        {
          url: chatUrl(request.model).replace('/chat/completions', '/embeddings'),
          headers: headers(request.apiKey),
          request,
          timeoutMs: timeouts.total,
        },
        signal,
      ),
    async models(signal, personalKey) {
      try {
        const response = await list(signal, apiKey ?? (personalKeys ? (personalKey ?? undefined) : undefined))
        if (!response.ok) throw await refused(response)
        return toModels(await response.json(), name)
      } catch (error) {
        throw unreachable(error)
      }
    },
    ...(personalKeys && !apiKey ? { ping } : {}),
  }

  /** LiteLLM's own word for whether it lives, which asks for no key. */
  async function ping(signal: AbortSignal): Promise<void> {
    const url = `${baseUrl.replace(/\/v1$/, '')}/health/liveliness`
    const response = await fetch(url, { signal, redirect: 'error' }).catch((error) => {
      throw unreachable(error)
    })
    if (response.status >= 500) throw await refused(response)
    await response.body?.cancel()
  }

  function list(signal: AbortSignal, key?: string): Promise<Response> {
    return fetch(`${baseUrl}/models`, { headers: headers(key), signal, redirect: 'error' })
  }
}

/** The well-known services that there is a key for. @param keys by the names of their variables. */
export const services = (keys: Record<string, string>, timeouts: Timeouts): Provider[] =>
  WELL_KNOWN.flatMap(({ name, baseUrl, key }) => {
    const apiKey = key && keys[key]
    return apiKey ? [openAiCompatible({ name, baseUrl, apiKey, timeouts })] : []
  })

function toModels(body: unknown, ownedBy: string): ModelInfo[] {
  const list = typeof body === 'object' && body !== null && 'data' in body ? body.data : undefined
  if (!Array.isArray(list))
    throw new AppError('UPSTREAM_ERROR', 'The model provider sent something that is not a model list')
  return list.flatMap((item: unknown): ModelInfo[] => {
    if (typeof item !== 'object' || item === null || !('id' in item) || typeof item.id !== 'string') return []
    return [
      {
        id: item.id,
        ownedBy: 'owned_by' in item && typeof item.owned_by === 'string' ? item.owned_by : ownedBy,
        created: 'created' in item && typeof item.created === 'number' ? item.created : 0,
        facts: listedFacts({ ...item }),
      },
    ]
  })
}
