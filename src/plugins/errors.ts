import { Elysia, type ValidationError } from 'elysia'
import { AppError, errorBody, toAppError } from '../errors'
import { type Issue, validationError } from '../lib/problems'

export interface ErrorsOptions {
  /** Surfaces that have their own idea of a failure; undefined = our envelope. */
  dialect: (request: { path: string; body: unknown }, error: AppError, requestId: string | null) => Encoded | undefined
  /** Told of every failure, with the request it belongs to; the log decides what is worth a line. */
  onError: (error: AppError, request: Request, requestId: string | null) => void
}

export interface Encoded {
  status: number
  body: unknown
}

/** The only `onError`: whatever is thrown leaves as one envelope, and nothing of it that is not meant for clients. */
export const errors = ({ dialect, onError }: ErrorsOptions) =>
  new Elysia({ name: 'errors' }).onError(
    { as: 'global' },
    function envelope({ code, error, request, path, set, ...rest }) {
      const failure = translate(code, error, request.method, path)
      const requestId = (set.headers['x-request-id'] as string | undefined) ?? null
      onError(failure, request, requestId)
      const encoded = dialect({ path, body: 'body' in rest ? rest.body : undefined }, failure, requestId) ?? {
        status: failure.status,
        body: { success: false, error: errorBody(failure, requestId) },
      }
      set.status = encoded.status
      if (failure.retryAfter !== undefined) set.headers['retry-after'] = String(failure.retryAfter)
      if (failure.code === 'UNAUTHORIZED') set.headers['www-authenticate'] = 'Bearer'
      return encoded.body
    },
  )

function translate(code: unknown, error: unknown, method: string, path: string): AppError {
  if (error instanceof AppError) return error
  switch (code) {
    case 'VALIDATION':
      return invalid(error as ValidationError)
    case 'PARSE':
      return new AppError('BAD_REQUEST', 'The body could not be read')
    case 'INVALID_COOKIE_SIGNATURE':
      return new AppError('BAD_REQUEST', 'A cookie could not be read')
    case 'NOT_FOUND':
      return new AppError('NOT_FOUND', `There is no ${method} ${path}. GET /openapi.json lists what there is`)
  }
  return toAppError(error)
}

const invalid = (error: ValidationError) =>
  validationError(error.type, error.all.filter((issue) => 'path' in issue) as Issue[])
