/**
 * Every failure this server can name. `status` is what HTTP clients see, `log` is how loudly the log speaks,
 * `retry` says whether the same request may succeed later or elsewhere (failover and clients read it).
 */
export const ERRORS = {
  BAD_REQUEST: { status: 400, log: 'none', retry: false },
  UNAUTHORIZED: { status: 401, log: 'none', retry: false },
  INSUFFICIENT_BALANCE: { status: 402, log: 'none', retry: false },
  FORBIDDEN: { status: 403, log: 'none', retry: false },
  NOT_FOUND: { status: 404, log: 'none', retry: false },
  CONFLICT: { status: 409, log: 'none', retry: false },
  PAYLOAD_TOO_LARGE: { status: 413, log: 'none', retry: false },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, log: 'none', retry: false },
  VALIDATION_ERROR: { status: 422, log: 'none', retry: false },
  RATE_LIMIT_EXCEEDED: { status: 429, log: 'none', retry: true },
  INTERNAL_ERROR: { status: 500, log: 'error', retry: false },
  NOT_SUPPORTED: { status: 501, log: 'none', retry: false },
  UPSTREAM_ERROR: { status: 502, log: 'warn', retry: true },
  UPSTREAM_UNAVAILABLE: { status: 503, log: 'warn', retry: true },
  UPSTREAM_TIMEOUT: { status: 504, log: 'warn', retry: true },
} as const satisfies Record<string, { status: number; log: 'none' | 'warn' | 'error'; retry: boolean }>

export type ErrorCode = keyof typeof ERRORS

/**
 * Whose fault a failed answer is. `request`: the same everywhere, so nobody else is asked. `deployment`: this model at
 * this provider, now. `key`: the credential it was asked with. The last two may go better elsewhere.
 */
export type Fault = 'request' | 'deployment' | 'key'

export interface AppErrorOptions {
  /** Machine-readable facts for the client, e.g. the fields that failed validation. Never secrets. */
  details?: unknown
  /** Seconds after which a retry makes sense; becomes `Retry-After`. */
  retryAfter?: number | undefined
  /** Default: `deployment` for what may be retried, else `request`. */
  fault?: Fault | undefined
  /** The original failure, for the log only. */
  cause?: unknown
}

/** The only error that services and ports throw on purpose. Its message is written for the client. */
export class AppError extends Error {
  override name = 'AppError'
  readonly details: unknown
  readonly retryAfter: number | undefined
  readonly fault: Fault
  /** The provider that it is about, where that is known. Nothing for clients. */
  provider: string | undefined

  constructor(
    readonly code: ErrorCode,
    message: string,
    { details, retryAfter, fault, cause }: AppErrorOptions = {},
  ) {
    super(message, cause === undefined ? undefined : { cause })
    this.details = details
    this.retryAfter = retryAfter
    this.fault = fault ?? (ERRORS[code].retry ? 'deployment' : 'request')
  }

  get status(): number {
    return ERRORS[this.code].status
  }
}

/** Anything thrown, as an AppError; an unforeseen failure keeps its text for the log and shows the client none of it. */
export function toAppError(thrown: unknown): AppError {
  if (thrown instanceof AppError) return thrown
  if (isOutOfReach(thrown)) {
    const message = 'What this needs is out of reach just now. Try again in a moment'
    return new AppError('UPSTREAM_UNAVAILABLE', message, { retryAfter: 1, cause: thrown })
  }
  return new AppError('INTERNAL_ERROR', 'Something went wrong on our side. Quote the request id if you report it.', {
    cause: thrown,
  })
}

/** The network's words, and Postgres' own for: connection lost, server stopping, too many connections. */
const OUT_OF_REACH =
  /^(?:ECONN(?:RESET|REFUSED|ABORTED)|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|08...|57P0[1-3]|53300)$/
/** What the driver of Postgres says without a code; the last one when this server is about to end. */
const LOST = /^Connection terminated|^timeout exceeded when trying to connect$|^Cannot use a pool after calling end/

/** Whether a line to the database broke or could not be had: nobody's mistake, and over when the line is back. */
function isOutOfReach(thrown: unknown): boolean {
  let error = thrown
  while (error instanceof Error && error.cause instanceof Error) error = error.cause
  if (!(error instanceof Error)) return false
  return ('code' in error && OUT_OF_REACH.test(String(error.code))) || LOST.test(error.message)
}

export interface ErrorBody {
  message: string
  code: ErrorCode
  details: unknown
  request_id: string | null
}

/** The error object of our own surface: inside the envelope, inside a stream frame, on a stored run. */
export function errorBody(error: AppError, requestId: string | null): ErrorBody {
  return {
    message: error.message,
    code: error.code,
    details: error.details ?? null,
    request_id: requestId,
  }
}
