import { AppError } from '../errors'
import type { User } from '../store/port'

/**
 * The tenant that an administrator asks about: their own, or for the owner of the installation any.
 * @throws AppError NOT_FOUND for another tenant, whether it is there or not.
 */
export function tenantOf({ role, tenantId }: Pick<User, 'role' | 'tenantId'>, asked: string | undefined): string {
  const wanted = asked?.toLowerCase() ?? tenantId
  if (wanted !== tenantId && role !== 'owner') throw new AppError('NOT_FOUND', 'There is no such tenant')
  return wanted
}

/**
 * What a tenant itself may spend is between it and the owner of the installation: its administrators share it out among its
 * people. @throws AppError FORBIDDEN
 */
export function refuseTenantOf({ role }: Pick<User, 'role'>, kind: string): void {
  if (kind !== 'tenant' || role === 'owner') return
  throw new AppError('FORBIDDEN', 'What a tenant may spend is for the owner of the installation to say')
}
