import { Failure } from './http.ts'

/** Takes what a request says under a name, or refuses it. Absent is `undefined`. */
export type Read<T = unknown> = (value: unknown, name: string) => T

const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i

export const isUuid = (value: unknown): value is string => typeof value === 'string' && UUID.test(value)

const refuse = (name: string, must: string) => new Failure(400, `${name} must be ${must}`)

export const text: Read<string> = (value, name) => {
  if (typeof value === 'string') return value
  throw refuse(name, 'a string')
}

export const uuid: Read<string> = (value, name) => {
  if (isUuid(value)) return value.toLowerCase()
  throw refuse(name, 'a UUID')
}

export const flag: Read<boolean> = (value, name) => {
  if (typeof value === 'boolean') return value
  throw refuse(name, 'true or false')
}

export const moment: Read<string> = (value, name) => {
  const date = new Date(typeof value === 'string' ? value : Number.NaN)
  if (!Number.isNaN(date.getTime())) return date.toISOString()
  throw refuse(name, 'a time in ISO 8601')
}

/** From JSON or a query. More than `most` is taken as `most`. */
export const whole =
  (least: number, most: number, fallback?: number): Read<number> =>
  (value, name) => {
    if (value === undefined && fallback !== undefined) return fallback
    const number = typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : value
    if (Number.isSafeInteger(number) && Number(number) >= least) return Math.min(Number(number), most)
    throw refuse(name, `a whole number of at least ${least}`)
  }

export const oneOf =
  <T extends string>(...words: T[]): Read<T> =>
  (value, name) => {
    const word = words.find((each) => each === value)
    if (word) return word
    throw refuse(name, words.join(' or '))
  }

/** Null and absent are the same to older clients. */
export const maybe =
  <T>(read: Read<T>): Read<T | null> =>
  (value, name) =>
    value === undefined || value === null ? null : read(value, name)

/** Null means something, absent means something else. */
export const ifSaid =
  <T>(read: Read<T>): Read<T | undefined> =>
  (value, name) =>
    value === undefined ? undefined : read(value, name)

export const object: Read<Record<string, unknown>> = (value, name) => {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  throw refuse(name, 'an object')
}

type Shape = Record<string, Read>
type Taken<S extends Shape> = { [K in keyof S]: ReturnType<S[K]> }

/** The named fields and no others. */
export const shape =
  <S extends Shape>(fields: S): Read<Taken<S>> =>
  (value, name) => {
    const given = object(value, name)
    const entries = Object.entries(fields).map(([key, read]) => [key, read(given[key], name ? `${name}.${key}` : key)])
    return Object.fromEntries(entries) as Taken<S>
  }

export const list =
  <T>(read: Read<T>): Read<T[]> =>
  (value, name) => {
    if (!Array.isArray(value)) throw refuse(name, 'a list')
    return value.map((each, i) => read(each, `${name}[${i}]`))
  }
