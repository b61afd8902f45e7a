import { AppError } from '../errors'

/** Bytes of a provider's error body that are read; the rest is not worth waiting for. */
const MAX_ERROR_BYTES = 16_384

/** What a provider's refusal means for the caller. Reads (and so frees) the body. */
export async function refused(response: Response): Promise<AppError> {
  const said = explanation(await readSome(response))
  const { status } = response
  if (status === 401 || status === 403) {
    return new AppError('UPSTREAM_ERROR', `The model provider refused the key it was given (HTTP ${status})`)
  }
  if (status === 404) return new AppError('NOT_FOUND', said ?? 'The model provider does not know this model')
  if (status === 429) {
    const wait = Number(response.headers.get('retry-after')) || undefined
    const message = said ?? 'The model provider has had too many requests'
    return new AppError('RATE_LIMIT_EXCEEDED', message, wait === undefined ? {} : { retryAfter: Math.min(wait, 3600) })
  }
  if (status === 408 || status === 504) return new AppError('UPSTREAM_TIMEOUT', 'The model provider ran out of time')
  if (status === 503 || status === 529) return new AppError('UPSTREAM_UNAVAILABLE', 'The model provider is overloaded')
  if (status >= 400 && status < 500) {
    return new AppError('BAD_REQUEST', said ?? `The model provider rejected the request (HTTP ${status})`)
  }
  return new AppError('UPSTREAM_ERROR', `The model provider failed (HTTP ${status})`)
}

/** An `error` object inside a stream that began with HTTP 200. */
export function refusedInStream(error: unknown): AppError {
  const said = explanation(JSON.stringify({ error }))
  return new AppError('UPSTREAM_ERROR', said ?? 'The model provider broke off with an error')
}

/** A request that got no response at all. */
export function unreachable(error: unknown): AppError {
  if (error instanceof AppError) return error
  return new AppError('UPSTREAM_UNAVAILABLE', 'The model provider cannot be reached', { cause: error })
}

async function readSome(response: Response): Promise<string> {
  const reader = response.body?.getReader()
  if (!reader) return ''
  const decoder = new TextDecoder()
  let text = ''
  try {
    while (text.length < MAX_ERROR_BYTES) {
      const { value, done } = await reader.read()
      if (done) break
      text += decoder.decode(value, { stream: true })
    }
  } catch {
    // The status alone says what went wrong; half a body is as good as a whole one.
  } finally {
    await reader.cancel().catch(() => {})
  }
  return text.slice(0, MAX_ERROR_BYTES)
}

/** The human sentence in an OpenAI-style error body. Providers quote keys and addresses back: those are blanked. */
function explanation(body: string): string | undefined {
  let parsed: unknown
  try {
    parsed = JSON.parse(body)
  } catch {
    return undefined
  }
  const error = isObject(parsed) ? (parsed.error ?? parsed.detail ?? parsed) : undefined
  const message = isObject(error) ? error.message : error
  return typeof message === 'string' && message ? redact(message).slice(0, 500) : undefined
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null

const SECRETS =
  /\b(?:sk|pk|rk|key|Bearer|hashed_token)[-_= ]+[\w*.+/=-]{6,}|\b\w+:\/\/\S+|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?|\b(?:localhost|[\w-]+(?:\.[\w-]+)+):\d{2,5}\b|\b[\w-]+(?:\.[\w-]+)*\.(?:internal|local)\b/gi

const redact = (text: string): string => text.replace(SECRETS, '[hidden]')
