import { AppError } from '../errors'

/** Bytes of a provider's error body that are read; the rest is not worth waiting for. */
const MAX_ERROR_BYTES = 16_384

/** What a provider's refusal means for the caller. Reads (and so frees) the body. */
export async function refused(response: Response): Promise<AppError> {
  const said = explanation(await readSome(response))
  return ofStatus(response.status, { said, retryAfter: secondsOf(response.headers.get('retry-after')) })
}

/** An `error` object inside a stream that began with HTTP 200. Some say in it what the status would have been. */
export function refusedInStream(error: unknown): AppError {
  const said = explanation(JSON.stringify({ error }))
  const status = isObject(error) ? statusIn(error) : undefined
  if (status !== undefined) return ofStatus(status, { said })
  return new AppError('UPSTREAM_ERROR', said ?? 'The model provider broke off with an error')
}

/**
 * What an HTTP status of a provider means. The key and the model's name are the deployment's matter: with another
 * deployment they may be right. What the request says is the same everywhere.
 * @param retryAfter seconds.
 */
export function ofStatus(
  status: number,
  { said, retryAfter }: { said?: string | undefined; retryAfter?: number | undefined },
) {
  if (status === 401 || status === 403) {
    const message = `The model provider refused the key it was given (HTTP ${status})`
    return new AppError('UPSTREAM_ERROR', message, { fault: 'key' })
  }
  if (status === 402) {
    return new AppError('UPSTREAM_ERROR', 'The account at the model provider is used up', { fault: 'key' })
  }
  if (status === 404) {
    const message = said ?? 'The model provider does not know this model'
    return new AppError('NOT_FOUND', message, { fault: 'deployment' })
  }
  if (status === 429) {
    return new AppError('RATE_LIMIT_EXCEEDED', said ?? 'The model provider has had too many requests', { retryAfter })
  }
  if (status === 408 || status === 504) return new AppError('UPSTREAM_TIMEOUT', 'The model provider ran out of time')
  if (status === 503 || status === 529) {
    return new AppError('UPSTREAM_UNAVAILABLE', 'The model provider is overloaded', { retryAfter })
  }
  if (status >= 400 && status < 500) {
    return new AppError('BAD_REQUEST', said ?? `The model provider rejected the request (HTTP ${status})`)
  }
  return new AppError('UPSTREAM_ERROR', `The model provider failed (HTTP ${status})`)
}

/** Seconds that a provider may ask to be left alone for; more is not believed. */
const LONGEST_WAIT = 3600

/** `Retry-After` is a number of seconds or a date (RFC 9110, 10.2.3). @returns seconds, at least 1. */
export function secondsOf(header: string | null): number | undefined {
  if (!header) return undefined
  const seconds = /^\s*\d+(?:\.\d+)?\s*$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1000
  if (Number.isNaN(seconds) || (seconds <= 0 && !/[a-z]/i.test(header))) return undefined
  return Math.min(LONGEST_WAIT, Math.max(1, Math.ceil(seconds)))
}

/** Words of error objects that stand for a status, where that makes a difference. */
const STATUS_OF = new Map([
  ['invalid_request_error', 400],
  ['context_length_exceeded', 400],
  ['content_policy_violation', 400],
  ['rate_limit_error', 429],
  ['rate_limit_exceeded', 429],
  ['overloaded_error', 529],
])

function statusIn({ code, type, status }: Record<string, unknown>): number | undefined {
  const number = [code, status].map(Number).find((value) => value >= 400 && value < 600)
  // Of most failures the sentence beside the number says more.
  if (number !== undefined) return number < 500 || [503, 504, 529].includes(number) ? number : undefined
  return STATUS_OF.get(String(code)) ?? STATUS_OF.get(String(type))
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
