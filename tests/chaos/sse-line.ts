import { createParser } from 'eventsource-parser'
import type { Heard } from './heard'
import { textOfPrompt } from './marks'

/** A way to the installation. Each call reads one stream as far as it goes; what came is in `heard`. */
export interface Line {
  /** @returns the status of a request that was refused; undefined when there was a stream, or nothing at all. */
  chat: (heard: Heard, conversationId: string | undefined) => Promise<number | undefined>
  resume: (heard: Heard) => Promise<number | undefined>
  close: () => void
}

interface SseLineOptions {
  base: string
  token: string
  /** Ends what is under way: the test is over. */
  signal: AbortSignal
}

/** The native stream over HTTP, taken up again by `Last-Event-ID`. */
export function sseLine({ base, token, signal }: SseLineOptions): Line {
  const authorization = `Bearer ${token}`
  const read = async (heard: Heard, path: string, init: RequestInit) => {
    // What hangs for so long is as good as gone: heartbeats come every eight seconds.
    const patience = new AbortController()
    let timer = setTimeout(() => patience.abort(), SILENCE)
    try {
      const response = await fetch(base + path, { ...init, signal: AbortSignal.any([signal, patience.signal]) })
      if (!response.ok || !response.body) {
        await response.body?.cancel()
        return response.status
      }
      const parser = createParser({
        onEvent: ({ id, event, data }) => {
          if (data === '[DONE]') return heard.done()
          heard.hear({ id: id === undefined ? undefined : Number(id), event, data: JSON.parse(data) })
        },
      })
      const decoder = new TextDecoder()
      for await (const chunk of response.body) {
        clearTimeout(timer)
        timer = setTimeout(() => patience.abort(), SILENCE)
        parser.feed(decoder.decode(chunk, { stream: true }))
      }
    } catch (error) {
      // Lines break here. What is no broken line would be a mistake of this test.
      if (error instanceof SyntaxError) heard.fault(`what came is not JSON: ${error.message}`)
    } finally {
      clearTimeout(timer)
    }
    return undefined
  }
  return {
    chat: (heard, conversationId) =>
      read(heard, '/v1/chat/completions', {
        method: 'POST',
        headers: { authorization, 'content-type': 'application/json', 'idempotency-key': heard.key },
        body: JSON.stringify({ ...bodyOf(heard), conversation_id: conversationId }),
      }),
    resume: (heard) =>
      read(heard, `/v1/runs/${heard.runId}/stream`, {
        headers: { authorization, 'last-event-id': String(heard.seq) },
      }),
    close: () => {},
  }
}

/** Milliseconds without a sign of life after which a client takes its line for dead. */
export const SILENCE = 20_000

const bodyOf = ({ prompt }: Heard) => ({ message: textOfPrompt(prompt), model: 'paid' })
