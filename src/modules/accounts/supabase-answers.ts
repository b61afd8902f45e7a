import { AppError } from '../../errors'
import { validationError } from '../../lib/problems'

/** Refusals that mean: not with this password, this token, this account. */
const DENIALS = new Set(
  `invalid_credentials invalid_grant user_banned user_not_found bad_jwt session_not_found session_expired
   refresh_token_not_found refresh_token_already_used`.split(/\s+/),
)
const taken = () => new AppError('CONFLICT', 'There is an account with this e-mail already')
const noEmail = () => validationError('body', [{ path: 'email', message: 'is not an address that can be used' }])
/** What else Supabase Auth may refuse, in words of ours: its own may change, and may repeat what was sent. */
const REFUSALS: Record<string, () => AppError> = {
  email_exists: taken,
  user_already_exists: taken,
  email_address_invalid: noEmail,
  validation_failed: noEmail,
  weak_password: () =>
    validationError('body', [{ path: 'password', message: 'is too weak. Take a longer one, or other characters' }]),
  email_not_confirmed: () =>
    new AppError('UNAUTHORIZED', 'This e-mail address is not confirmed yet. Open the link that was sent to it'),
}

/**
 * The JSON of an answer, undefined when it is empty.
 * @param denied what the person is told whom Supabase Auth does not let in; without it nobody stands at the door but we.
 * @throws AppError for a refusal and for what is no answer of Supabase Auth.
 */
export function understood(response: Response, text: string, denied: string | undefined): unknown {
  const answer = text === '' ? undefined : parsed(text)
  if (!response.ok) throw refused(response, answer, denied)
  if (answer instanceof SyntaxError) {
    throw new AppError('UPSTREAM_ERROR', `Supabase Auth gave an answer that is not JSON (HTTP ${response.status})`)
  }
  return answer
}

/** What a refusal means for the person. Nothing of the other side's text is in it. */
function refused({ status, headers }: Response, answer: unknown, denied: string | undefined): AppError {
  const { error_code, code, error } = isObject(answer) ? answer : {}
  // Newer versions say `code`, older ones `error`, and most of them `error_code`.
  const name = String(error_code ?? (typeof code === 'string' ? code : error))
  if (denied && DENIALS.has(name)) return new AppError('UNAUTHORIZED', denied)
  const known = Object.hasOwn(REFUSALS, name) ? REFUSALS[name]?.() : undefined
  if (known) return known
  if (status === 429) {
    const retryAfter = Math.min(3600, Number(headers.get('retry-after')) || 60)
    return new AppError('RATE_LIMIT_EXCEEDED', 'Supabase Auth has had too many requests', { retryAfter })
  }
  if (status === 503) return new AppError('UPSTREAM_UNAVAILABLE', 'Supabase Auth is overloaded', { retryAfter: 1 })
  if (status === 408 || status === 504) return new AppError('UPSTREAM_TIMEOUT', 'Supabase Auth ran out of time')
  const why = status === 401 || status === 403 ? "did not take this server's key" : 'failed'
  return new AppError('UPSTREAM_ERROR', `Supabase Auth ${why} (HTTP ${status})`)
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    return error
  }
}

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null
