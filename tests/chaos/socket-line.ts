import type { FrameData } from '../support/read-sse'
import type { Heard } from './heard'
import { textOfPrompt } from './marks'
import { type Line, SILENCE } from './sse-line'

interface Frame {
  type: string
  id?: string | null
  run_id?: string
  seq?: number
  data?: FrameData
  error?: { code: string }
}

/** Who waits for what comes over the socket. */
interface Asked {
  id: string
  heard: Heard
  over: (status: number | undefined) => void
  /** Something came. */
  alive: () => void
}

/** The same events over a WebSocket, which is opened again when it was closed. */
export function socketLine({ base, token, signal }: { base: string; token: string; signal: AbortSignal }): Line {
  let socket: WebSocket | undefined
  let asked: Asked | undefined
  let requests = 0
  const close = () => {
    const left = socket
    socket = undefined
    left?.close()
    asked?.over(undefined)
  }
  signal.addEventListener('abort', close)

  /** @returns a socket that is signed in, or nothing. */
  const open = (): Promise<WebSocket | undefined> => {
    if (socket?.readyState === WebSocket.OPEN) return Promise.resolve(socket)
    const opening = new WebSocket(`${base.replace('http', 'ws')}/v1/ws`, {
      headers: { authorization: `Bearer ${token}` },
    } as never)
    const { promise, resolve } = Promise.withResolvers<WebSocket | undefined>()
    const timer = setTimeout(() => opening.close(), PATIENCE)
    opening.onmessage = ({ data }) => {
      const frame = JSON.parse(String(data)) as Frame
      if (frame.type === 'ready') resolve(opening)
      else take(frame)
    }
    opening.onclose = () => {
      clearTimeout(timer)
      resolve(undefined)
      if (socket === opening) close()
    }
    return promise.then((ready) => {
      clearTimeout(timer)
      socket = ready
      return ready
    })
  }

  const take = ({ type, id, run_id, seq, data, error }: Frame) => {
    if (!asked || id !== asked.id) return
    asked.alive()
    const { heard } = asked
    if (run_id && heard.runId && run_id !== heard.runId) heard.fault(`it was told of run ${run_id}`)
    if (type === 'event' && data) heard.hear({ id: seq, data })
    else if (type === 'restart') heard.hear({ id: seq, event: 'restart', data: {} })
    else if (type === 'done') {
      heard.done()
      asked.over(undefined)
    } else if (type === 'error') asked.over(STATUS[error?.code ?? ''] ?? 500)
  }

  const ask = async (heard: Heard, frame: object): Promise<number | undefined> => {
    const ready = await open()
    if (!ready || signal.aborted) return undefined
    const id = String(++requests)
    const { promise, resolve } = Promise.withResolvers<number | undefined>()
    // What hangs for so long is as good as gone.
    let timer = setTimeout(close, SILENCE)
    const alive = () => {
      clearTimeout(timer)
      timer = setTimeout(close, SILENCE)
    }
    asked = { id, heard, over: resolve, alive }
    ready.send(JSON.stringify({ ...frame, id }))
    const status = await promise
    clearTimeout(timer)
    asked = undefined
    return status
  }

  return {
    chat: (heard, conversation_id) =>
      ask(heard, {
        type: 'chat',
        message: textOfPrompt(heard.prompt),
        model: 'paid',
        idempotency_key: heard.key,
        conversation_id,
      }),
    resume: (heard) => ask(heard, { type: 'resume', run_id: heard.runId, after: heard.seq }),
    close,
  }
}

/** Milliseconds to connect and sign in. */
const PATIENCE = 10_000

const STATUS: Record<string, number> = {
  UNAUTHORIZED: 401,
  INSUFFICIENT_BALANCE: 402,
  NOT_FOUND: 404,
  CONFLICT: 409,
  VALIDATION_ERROR: 422,
  RATE_LIMIT_EXCEEDED: 429,
  UPSTREAM_ERROR: 502,
  UPSTREAM_UNAVAILABLE: 503,
  UPSTREAM_TIMEOUT: 504,
}
