/** A new UUIDv7: time-ordered, so that ids sort by age and indexes stay dense. */
export const newId = (): string => Bun.randomUUIDv7()

/** Everyone's tenant until there is an administration of tenants. */
export const DEFAULT_TENANT = '00000000-0000-0000-0000-000000000001'

/** Whether a text has the form of an id, whatever its version. */
export const isUuid = (text: string): boolean => /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i.test(text)
