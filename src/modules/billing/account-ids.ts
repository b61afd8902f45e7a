import { accountId } from '../../lib/ids'

/** Ids of accounts follow from who owns them. */
export const personAccount = (tenantId: string, userId: string) => accountId('user', tenantId, userId)
export const keyAccount = (tenantId: string, keyId: string) => accountId('key', tenantId, keyId)
export const tenantAccount = (tenantId: string) => accountId('tenant', tenantId, tenantId)
