import { AppError } from '../../../src/errors'
import { MemoryLimiter } from '../../../src/limits/memory'
import { LoginLimiter } from '../../../src/modules/accounts/login-limiter'
import { type SupabaseOptions, SupabaseSignIn } from '../../../src/modules/accounts/supabase'
import type { SupabaseApi } from './api'

export const PASSWORD = 'canary-password-222'
export const ADDRESS = '203.0.113.7'

/** A server's sign-in, with counts of its own, and what it forgot. */
export function startSignIn(api: SupabaseApi, options: Partial<SupabaseOptions> = {}) {
  const forgotten: string[] = []
  const { url, anonKey, serviceKey } = api
  const limiter = new LoginLimiter(new MemoryLimiter())
  const forget = (hash: string) => void forgotten.push(hash)
  return { signIn: new SupabaseSignIn({ url, anonKey, serviceKey, limiter, forget, ...options }), forgotten }
}

export const newEmail = () => `${crypto.randomUUID()}@example.com`
export const newcomer = () => ({ email: newEmail(), password: PASSWORD })

/** What a call is refused with. */
export async function refusal(work: Promise<unknown>): Promise<AppError> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof AppError)) throw new Error(`Not refused, but ${error}`)
  return error
}

/** What was asked of Supabase meanwhile. */
export async function asked(api: SupabaseApi, work: () => Promise<unknown>) {
  const before = api.requests.length
  await work()
  return api.requests.slice(before)
}
