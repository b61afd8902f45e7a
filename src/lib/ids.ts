import { createHash } from 'node:crypto'

/** A new UUIDv7: time-ordered, so that ids sort by age and indexes stay dense. */
export const newId = (): string => Bun.randomUUIDv7()

/** An id that follows from these words: the same ones always give the same. A UUIDv8, because it tells no time. */
export function idFrom(...words: string[]): string {
  const hex = createHash('sha256').update(words.join(' ')).digest('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}

/** Everyone's tenant until there is an administration of tenants. */
export const DEFAULT_TENANT = '00000000-0000-0000-0000-000000000001'

/** Whether a text has the form of an id, whatever its version. */
export const isUuid = (text: string): boolean => /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i.test(text)

/**
 * The id that stands for some words: the same ones give the same id, on any server. A version 8 UUID (RFC 9562,
 * section 5.8) from the SHA-256 of the words, each with its length, so that no two lists of words read alike.
 */
export function derivedId(...words: string[]): string {
  const bytes = createHash('sha256')
    .update(words.map((word) => `${word.length}:${word}`).join(''))
    .digest()
  bytes[6] = (bytes.readUInt8(6) & 0x0f) | 0x80
  bytes[8] = (bytes.readUInt8(8) & 0x3f) | 0x80
  const hex = bytes.toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join('-')
}

/** The account in the ledger that is a person's, an API key's or a tenant's: `ownerId` is theirs. */
export const accountId = (kind: 'user' | 'key' | 'tenant', tenantId: string, ownerId: string): string =>
  derivedId('ledger', kind, tenantId, ownerId)

/** A budget that a person set for themselves; those of administrators have ids that follow from nothing. */
export const ownBudgetId = (account: string, period: string): string => derivedId('budget', 'own', account, period)
