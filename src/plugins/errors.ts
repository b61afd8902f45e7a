import { Elysia, type ValidationError } from 'elysia'
import { AppError, errorBody, toAppError } from '../errors'
import { type Issue, validationError } from '../lib/problems'

export interface ErrorsOptions {
  /** Surfaces that have their own idea of a failure; undefined = our envelope. */
  dialect: (request: { path: string; body: unknown }, error: AppError, requestId: string | null) => Encoded | undefined
  /** Told of every failure, with the request it belongs to; the log decides what is worth a line. */
  onError: (error: AppError, request: Request, requestId: string | null) => void
  /** Sees the answer before it leaves. */
  answered?: (request: Request, answer: Response) => Promise<void>
}

export interface Encoded {
  status: number
  /** Sent as JSON; a string as plain text. */
  body: unknown
}

/** The only `onError`: whatever is thrown leaves as one envelope, and nothing of it that is not meant for clients. */
export const errors = ({ dialect, onError, answered = async () => {} }: ErrorsOptions) =>
  new Elysia({ name: 'errors' }).onError(
    { as: 'global' },
    async function envelope({ code, error, request, path, set, ...rest }) {
      const failure =
        hungUp(request, error) ??
        translate(code, error, { method: request.method, path, query: 'query' in rest ? rest.query : {} })
      const requestId = (set.headers['x-request-id'] as string | undefined) ?? null
      onError(failure, request, requestId)
      const encoded = dialect({ path, body: 'body' in rest ? rest.body : undefined }, failure, requestId) ?? {
        status: failure.status,
        body: { success: false, error: errorBody(failure, requestId) },
      }
      set.status = encoded.status
      if (failure.retryAfter !== undefined) set.headers['retry-after'] = String(failure.retryAfter)
      if (failure.code === 'UNAUTHORIZED') set.headers['www-authenticate'] = 'Bearer'
      const answer = responseOf(encoded, failure)
      await answered(request, answer)
      return answer
    },
  )

/** A ready `Response`: on the way of an unknown route, a plain object would be lost. */
function responseOf({ body, status }: Encoded, { code }: AppError): Response {
  if (typeof body !== 'string') return Response.json(body, { status })
  const headers = { 'content-type': 'text/plain; charset=utf-8', 'x-error-code': code }
  return new Response(body, { status, headers })
}

/** Work that was given up because its client left. Nobody reads this answer, and it must not count as our fault. */
function hungUp({ signal }: Request, error: unknown): AppError | undefined {
  const aborted = signal.aborted && error instanceof Error && error.name === 'AbortError'
  return aborted ? new AppError('BAD_REQUEST', 'The client left before the answer was ready') : undefined
}

interface Asked {
  method: string
  path: string
  query: Record<string, unknown>
}

function translate(code: unknown, error: unknown, { method, path, query }: Asked): AppError {
  if (error instanceof AppError) return error
  // What our own body parser says reaches us wrapped.
  if (code === 'PARSE' && error instanceof Error && error.cause instanceof AppError) return error.cause
  switch (code) {
    case 'VALIDATION':
      return invalid(error as ValidationError, query)
    case 'PARSE':
      return new AppError('BAD_REQUEST', 'The body could not be read')
    case 'INVALID_COOKIE_SIGNATURE':
      return new AppError('BAD_REQUEST', 'A cookie could not be read')
    case 'NOT_FOUND':
      return new AppError('NOT_FOUND', `There is no ${method} ${path}. GET /openapi.json lists what there is`)
  }
  // Elysia writes what it found into a message of its own, which no object such as {"toString": 1} can be written into.
  if (error instanceof TypeError && error.stack?.includes('mapValueError')) {
    return validationError('body', [{ path: '', message: 'is not what is documented' }])
  }
  return toAppError(error)
}

function invalid(error: ValidationError, query: Record<string, unknown>): AppError {
  const issues = error.all.filter((issue) => 'path' in issue) as Issue[]
  if (error.type !== 'property') return validationError(error.type, issues)
  // A number of the query is checked after it was read from its text, and that check does not know its name.
  const name = Object.keys(query).find((key) => Number(query[key]) === error.value) ?? 'query'
  return validationError(
    'query',
    issues.map((issue) => ({ ...issue, path: name })),
  )
}
