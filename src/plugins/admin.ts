import { AppError } from '../errors'
import type { Identity } from './auth'

/**
 * For `derive`, after `auth`: lets administrators in and nobody else, before their body is looked at. What they see is their
 * tenant's.
 */
export function administrator({ user }: { user: Pick<Identity, 'role'> }): Record<never, never> {
  if (user.role === 'user') throw new AppError('FORBIDDEN', 'This is for administrators')
  return {}
}

/** The same for what is nobody's but the owner's of the installation. */
export function installationOwner({ user }: { user: Pick<Identity, 'role'> }): Record<never, never> {
  if (user.role !== 'owner') throw new AppError('FORBIDDEN', 'This is for the owner of the installation')
  return {}
}
