/**
 * A provider that goes wrong in a chosen way, on a free loopback port, for tests. It speaks the OpenAI Chat Completions
 * API and the Anthropic Messages API. What it does is chosen for each model by `play`; a model that was given nothing
 * to play answers well. It says what the last user message says, word by word; after a beginning of that (an assistant
 * message at the end), it says the rest.
 */
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { frame } from './fake-anthropic'
import { eventsFor } from './fake-anthropic-replies'
import { textOf } from './fake-replies'
import { encodeFrames } from './fake-wire'

export type Api = 'openai' | 'anthropic'

/** The frames of a good answer. */
export interface Frames {
  api: Api
  /** What comes before the first word. */
  opening: string[]
  /** One frame for each word. */
  words: string[]
  /** That it is over, why, and how many tokens it took. */
  closing: string[]
}

/** Bytes to send, milliseconds to wait, or a thing to do to the connection. */
export type Step = string | number | 'silence' | 'close' | 'reset'

/** `silence` is an answer without even headers. */
export type Played = 'silence' | { status?: number; headers?: Record<string, string>; steps: Step[] }

/** @param time how often this model was asked before. */
export type Play = (frames: Frames, time: number) => Played

export interface FaultyProvider {
  /** `http://127.0.0.1:PORT`, followed by `/v1` in OpenAI's case. */
  url(api: Api): string
  /** @param model gets this answer from now on. */
  play(model: string, play: Play): void
  /** How often a model was asked. */
  asked(model: string): number
  /** How many answers are under way. */
  openStreams(): number
  stop(): Promise<void>
}

const SSE = { 'content-type': 'text/event-stream; charset=utf-8' }
/** Milliseconds after which what was written is read, also by a busy machine: a cut connection throws the rest away. */
const SENT = 250

export function startFaultyProvider(): FaultyProvider {
  const plays = new Map<string, Play>()
  const times = new Map<string, number>()
  const open = new Set<AbortController>()
  const server = createServer(async (request, response) => {
    const gone = new AbortController()
    open.add(gone)
    response.on('close', () => {
      open.delete(gone)
      gone.abort()
    })
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const body = JSON.parse(Buffer.concat(chunks).toString() || '{}') as Body
    const time = times.get(body.model) ?? 0
    times.set(body.model, time + 1)
    const frames = framesFor(request.url?.endsWith('/messages') ? 'anthropic' : 'openai', body)
    await send(plays.get(body.model)?.(frames, time) ?? well(frames), response, gone.signal)
  })
  // A connection that ends while it waits for its next request would be one more fault.
  server.keepAliveTimeout = 60_000
  server.listen(0, '127.0.0.1')
  const root = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    url: (api) => (api === 'openai' ? `${root}/v1` : root),
    play: (model, play) => void plays.set(model, play),
    asked: (model) => times.get(model) ?? 0,
    openStreams: () => open.size,
    stop: () =>
      new Promise((resolve) => {
        for (const gone of open) gone.abort()
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

export const well = ({ opening, words, closing }: Frames): Played => ({ steps: [...opening, ...words, ...closing] })

type Part = { type: string; text?: string }
interface Body {
  model: string
  messages: { role: string; content: string | Part[] }[]
  stream_options?: { include_usage?: boolean }
}

function framesFor(api: Api, { model, messages = [], stream_options }: Body): Frames {
  const asked = textOf(messages.findLast(({ role }) => role === 'user'))
  const last = messages.at(-1)
  const begun = last?.role === 'assistant' ? textOf(last) : ''
  const rest = asked.startsWith(begun) ? asked.slice(begun.length) : ''
  const words = rest.match(/\s*\S+/g) ?? []
  if (api === 'openai') {
    const deltas = words.map((content) => ({ choice: 0, delta: { content } }))
    const reply = { deltas, choices: 1, finish: 'stop', done: true, usage: true, delayMs: 0 }
    return parted(api, encodeFrames(reply, { model, messages, ...(stream_options ? { stream_options } : {}) }), {
      before: 1,
      words: words.length,
    })
  }
  const events = eventsFor({ model: 'echo', max_tokens: 1, messages: [{ role: 'user', content: rest }] }) ?? []
  return parted(api, events.map(frame), { before: 2, words: words.length })
}

const parted = (api: Api, frames: string[], { before, words }: { before: number; words: number }): Frames => ({
  api,
  opening: frames.slice(0, before),
  words: frames.slice(before, before + words),
  closing: frames.slice(before + words),
})

async function send(played: Played, response: ServerResponse, signal: AbortSignal): Promise<void> {
  if (played === 'silence') return
  const { status = 200, headers = SSE, steps } = played
  response.writeHead(status, headers)
  response.flushHeaders()
  for (const step of steps) {
    if (signal.aborted || step === 'silence') return
    if (step === 'close' || step === 'reset') {
      await Bun.sleep(SENT)
      cut(response.socket, step)
      return
    }
    if (typeof step === 'number') await Bun.sleep(step)
    else response.write(step)
  }
  response.end()
}

function cut(socket: Socket | null, how: 'close' | 'reset'): void {
  if (how === 'reset') socket?.resetAndDestroy()
  else socket?.destroy()
}
