import { and, asc, eq, isNull } from 'drizzle-orm'
import { AppError } from '../../errors'
import { tenants, users } from '../schema'
import type { Db } from './db'

/**
 * Makes sure, within a transaction, that somebody will still own the installation once these are gone from among the owners.
 * The rows are locked: of two owners who take the right from each other at once, one is refused.
 * @throws AppError CONFLICT
 */
export async function keepAnOwner(
  tx: Pick<Db, 'select'>,
  goes: (owner: { userId: string; tenantId: string }) => boolean,
): Promise<void> {
  const owners = await tx
    .select({ userId: users.id, tenantId: users.tenantId })
    .from(users)
    .innerJoin(tenants, eq(tenants.id, users.tenantId))
    .where(and(eq(users.role, 'owner'), isNull(users.disabledAt), isNull(tenants.disabledAt)))
    .orderBy(asc(users.id))
    .for('no key update')
  const going = owners.filter(goes).length
  if (going > 0 && going === owners.length) {
    throw new AppError('CONFLICT', 'Nobody would own this installation any more. Make somebody else its owner first')
  }
}
