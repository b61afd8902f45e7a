import { customType, timestamp } from 'drizzle-orm/pg-core'
import { storableJson } from '../lib/text'

/** Drizzle's own `jsonb` turns the string "10.5" into the number 10.5 on the way back; this one does not. */
export const jsonb = <T>(name: string) =>
  customType<{ data: T; driverData: unknown }>({
    dataType: () => 'jsonb',
    toDriver: storableJson,
    fromDriver: (value) => value as T,
  })(name)

/** The transaction that wrote a row last: what tells a reader of changes which ones it has not seen. */
export const xid8 = (name: string) => customType<{ data: string }>({ dataType: () => 'xid8' })(name)
export const tsvector = (name: string) => customType<{ data: string }>({ dataType: () => 'tsvector' })(name)

export const bytea = (name: string) => customType<{ data: Uint8Array }>({ dataType: () => 'bytea' })(name)

export const instant = (name: string) => timestamp(name, { withTimezone: true, mode: 'date', precision: 3 })
