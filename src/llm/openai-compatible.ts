import { AppError } from '../errors'
import { Chunks } from './chunk-reader'
import { Deadlines, type Timeouts } from './deadlines'
import type { ChatEvent, ChatRequest, ModelInfo, Provider } from './port'
import { refused, unreachable } from './upstream-error'

export interface OpenAiCompatibleOptions {
  /** For logs, metrics and `/health`. */
  name: string
  /** With or without the trailing `/v1`, as the provider documents it. */
  baseUrl: string
  apiKey?: string | undefined
  /** See `Provider.personalKeys`. */
  personalKeys?: boolean
  timeouts: Timeouts
}

/** Anything that speaks the OpenAI Chat Completions API: OpenAI, LiteLLM, vLLM, Ollama, OpenRouter, … */
export function openAiCompatible({
  name,
  baseUrl,
  apiKey,
  personalKeys = false,
  timeouts,
}: OpenAiCompatibleOptions): Provider {
  const headers = (key = apiKey) => ({
    accept: 'text/event-stream, application/json',
    'content-type': 'application/json',
    ...(key ? { authorization: `Bearer ${key}` } : {}),
  })

  return {
    name,
    listsAll: false,
    personalKeys,
    cost: () => null,
    async *stream(request, outer) {
      const deadlines = new Deadlines(timeouts, outer)
      let body: ReadableStreamDefaultReader<Uint8Array> | undefined
      try {
        const response = await post(`${baseUrl}/chat/completions`, headers(request.apiKey), request, deadlines.signal)
        deadlines.connected()
        if (!response.ok) throw await refused(response)
        body = readerOf(response)
        yield* read(body, deadlines)
      } catch (error) {
        throw deadlines.signal.aborted ? deadlines.signal.reason : unreachable(error)
      } finally {
        deadlines.done()
        // Also when the consumer leaves early: an unread body would hold one of the process's connections.
        await body?.cancel().catch(() => {})
      }
    },
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

function post(
  url: string,
  headers: Record<string, string>,
  { model, messages, params }: ChatRequest,
  signal: AbortSignal,
) {
  return fetch(url, {
    method: 'POST',
    headers,
    // Usage is always asked for: it is what the answer is charged by.
    body: JSON.stringify({
      ...params,
      model,
      messages,
      stream: true,
      stream_options: {
        ...(params.stream_options as object | undefined),
        include_usage: true,
      },
    }),
    signal,
    // A redirect could carry the key and the conversation to another host.
    redirect: 'error',
    // Bun's own five-minute silence limit would end a slow reasoner; `Deadlines` decides.
    timeout: false,
  } as RequestInit)
}

function readerOf(response: Response): ReadableStreamDefaultReader<Uint8Array> {
  const type = response.headers.get('content-type') ?? 'text/event-stream'
  if (!response.body || !/event-stream/i.test(type)) {
    void response.body?.cancel().catch(() => {})
    throw new AppError('UPSTREAM_ERROR', `The model provider answered with ${type.split(';')[0]} instead of a stream`)
  }
  return response.body.getReader()
}

/** Bytes in, events out. Ends normally only after `[DONE]` or a finish reason: anything else is a cut stream. */
async function* read(body: ReadableStreamDefaultReader<Uint8Array>, deadlines: Deadlines): AsyncGenerator<ChatEvent> {
  const chunks = new Chunks()
  const decoder = new TextDecoder()
  while (!chunks.done) {
    const { value, done } = await body.read()
    if (done) break
    deadlines.progress()
    chunks.feed(decoder.decode(value, { stream: true }))
    if (chunks.events.length === 0) continue
    deadlines.talking()
    for (const event of chunks.take()) yield event
  }
  if (chunks.done) return
  const complete = chunks.finished
  try {
    // Some providers leave out the empty line after their last frame.
    chunks.feed(`${decoder.decode()}\n\n`)
    for (const event of chunks.take()) yield event
  } catch (error) {
    // Half a frame of what may follow a complete answer does not make it incomplete.
    if (!complete) throw error
  }
  if (!chunks.done && !chunks.finished) {
    throw new AppError('UPSTREAM_ERROR', 'The model provider broke off before its answer was complete')
  }
}

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
      },
    ]
  })
}
