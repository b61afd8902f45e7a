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
