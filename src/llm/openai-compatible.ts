import { createParser } from 'eventsource-parser'
import { AppError } from '../errors'
import { Deadlines, type Timeouts } from './deadlines'
import type { ChatEvent, ChatRequest, ModelInfo, Provider, Usage } from './port'
import { refused, refusedInStream, unreachable } from './upstream-error'

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

/** Characters one SSE line may have. A provider that sends more is broken or hostile. */
const MAX_LINE = 4 * 1024 * 1024

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
    async models(signal) {
      try {
        const response = await fetch(`${baseUrl}/models`, {
          headers: headers(),
          signal,
          redirect: 'error',
        })
        if (!response.ok) throw await refused(response)
        return toModels(await response.json(), name)
      } catch (error) {
        throw unreachable(error)
      }
    },
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

interface Chunk {
  error?: unknown
  choices?: {
    index?: number
    delta?: Record<string, unknown> | null
    finish_reason?: string | null
    logprobs?: unknown
  }[]
  usage?: Usage | null
  [key: string]: unknown
}

/** Turns the text of an SSE body into events. Pure, so that it can be tested at every cut. */
export class Chunks {
  events: ChatEvent[] = []
  /** `[DONE]` was seen. */
  done = false
  /** Some choice has a finish reason. */
  finished = false
  private metaSent = false
  private failure: unknown
  private readonly parser = createParser({
    maxBufferSize: MAX_LINE,
    onEvent: ({ data }) => this.onData(data),
    onError: (error) => {
      if (error.type === 'max-buffer-size-exceeded') {
        this.failure ??= new AppError('UPSTREAM_ERROR', 'The model provider sent a line that is too long')
      }
    },
  })

  /** @throws AppError when the provider reported an error or sent what is not a chunk. */
  feed(text: string): void {
    this.parser.feed(text)
    if (this.failure && this.events.length === 0) throw this.failure
  }

  /** The events so far; then the failure that followed them, if any. */
  *take(): Generator<ChatEvent> {
    const { events } = this
    this.events = []
    yield* events
    if (this.failure) throw this.failure
  }

  private onData(data: string): void {
    if (this.done || this.failure) return
    if (data === '[DONE]') {
      this.done = true
      return
    }
    try {
      this.onChunk(JSON.parse(data) as Chunk)
    } catch (error) {
      this.failure =
        error instanceof AppError
          ? error
          : new AppError('UPSTREAM_ERROR', 'The model provider sent something that is not a chat chunk', {
              cause: error,
            })
    }
  }

  private onChunk(chunk: Chunk): void {
    if (chunk.error) throw refusedInStream(chunk.error)
    if (!this.metaSent) this.meta(chunk)
    for (const choice of chunk.choices ?? []) {
      const index = choice.index ?? 0
      this.delta(index, choice.delta ?? {}, choice.logprobs)
      if (choice.finish_reason) {
        this.finished = true
        this.events.push({
          type: 'finish',
          index,
          reason: choice.finish_reason,
        })
      }
    }
    if (chunk.usage) this.events.push({ type: 'usage', usage: chunk.usage })
  }

  private meta({ id, object, created, choices, usage, error, obfuscation, ...fields }: Chunk): void {
    this.metaSent = true
    for (const key in fields) if (fields[key] === null) delete fields[key]
    this.events.push({ type: 'meta', fields })
  }

  private delta(index: number, delta: Record<string, unknown>, logprobs: unknown): void {
    const { role, ...said } = delta
    for (const key in said) if (said[key] === null || said[key] === '') delete said[key]
    const keys = Object.keys(said)
    if (keys.length === 0 && !logprobs) return
    const text = keys.length === 1 && index === 0 && !logprobs ? said.content : undefined
    if (typeof text === 'string') this.events.push(text)
    else
      this.events.push({
        type: 'delta',
        index,
        delta: said,
        ...(logprobs ? { logprobs } : {}),
      })
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
