import type { Login, Register, Tokens, userJson } from './model'

export interface SignedIn {
  user: ReturnType<typeof userJson>
  tokens: Tokens
}

/** Whoever keeps people's passwords and sessions: this server's own accounts, or Supabase Auth. */
export interface SignIn {
  /** @throws AppError CONFLICT when the e-mail has an account; RATE_LIMIT_EXCEEDED. */
  register(wanted: Register, address: string): Promise<SignedIn>
  /** @throws AppError UNAUTHORIZED, with one sentence for a wrong e-mail and a wrong password; RATE_LIMIT_EXCEEDED. */
  login(given: Login, address: string): Promise<SignedIn>
  /** @throws AppError UNAUTHORIZED when the token is unknown, spent or its session has ended. */
  refresh(refreshToken: string): Promise<SignedIn>
  /** Ends the session behind the credential, and the one behind the refresh token if that is another. */
  logout(credential: string, refreshToken: string | undefined): Promise<void>
}

// One sentence each, whoever refuses: a client must not see where accounts are kept.
export const WRONG_PASSWORD = 'The e-mail or the password is wrong'
export const SPENT_TOKEN = 'This refresh token is not valid. Sign in again'
