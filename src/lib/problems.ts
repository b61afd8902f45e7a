import { AppError } from '../errors'

/** One thing that is wrong with a value, as TypeBox reports it. */
export interface Issue {
  path: string
  message?: string | undefined
  schema?: object | undefined
}

/** Field paths and what each must be. The rejected values stay out of it: they may be secrets. */
export function validationError(where: string, issues: Iterable<Issue>): AppError {
  const fields = new Map<string, string>()
  for (const issue of issues) {
    const path = issue.path.replace(/^\//, '').replaceAll('/', '.') || where
    if (!fields.has(path)) fields.set(path, say(issue))
    if (fields.size === 20) break
  }
  const list = [...fields].map(([path, message]) => ({ path, message }))
  const [first] = list
  const message = first ? `${first.path}: ${first.message}` : `The ${where} is not valid`
  return new AppError('VALIDATION_ERROR', message, {
    details: { in: where, fields: list },
  })
}

/**
 * For bodies of which every field may be missing: what is no object would be taken for one without fields.
 * @throws AppError VALIDATION_ERROR
 */
export function objectOnly({ body }: { body: unknown }): void {
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) return
  throw validationError('body', [{ path: '', message: 'Must be an object' }])
}

/**
 * For bodies that must not be misunderstood: what is no field of theirs would otherwise be taken away without a word.
 * @throws AppError VALIDATION_ERROR with each of them.
 */
export const onlyFieldsOf =
  (schema: object) =>
  ({ body }: { body: unknown }): void => {
    objectOnly({ body })
    const unknown = unknownFields(schema, body, '')
    if (unknown.length === 0) return
    throw validationError(
      'body',
      unknown.map((path) => ({ path, message: 'is no field of this' })),
    )
  }

function unknownFields(schema: object, value: unknown, path: string): string[] {
  const wanted = unwrap(schema) ?? schema
  const fields = property(wanted, 'properties') as Record<string, object> | undefined
  if (!fields || typeof value !== 'object' || value === null || Array.isArray(value)) return []
  return Object.entries(value).flatMap(([name, inner]) => {
    const field = Object.hasOwn(fields, name) ? fields[name] : undefined
    // Names come from callers, and end up in messages.
    return field ? unknownFields(field, inner, `${path}/${name}`) : [`${path}/${name.slice(0, 100)}`]
  })
}

function say({ message, schema }: Issue): string {
  const wanted = unwrap(schema)
  // What a pattern means, in words.
  const must = property(wanted, 'x-must')
  if (typeof must === 'string') return must
  const format = property(wanted, 'format')
  if (format === 'uuid') return 'must be a UUID'
  if (format === 'email') return 'must be an e-mail address'
  if (format === 'date-time') return 'must be a time, such as 2026-11-21T10:00:00Z'
  if (property(wanted, 'pattern') === '\\S' && message?.includes('to match')) return 'must be a text that is not blank'
  // In a query everything is text, and may be read as something else.
  const read = choicesOf(wanted).map((choice) => property(choice, 'format'))
  if (read.includes('numeric')) return 'must be a number'
  if (read.includes('boolean')) return 'must be true or false'
  if (property(wanted, 'minProperties') === 1 && message?.includes('at least 1')) {
    return `must have at least one of ${Object.keys(property(wanted, 'properties') ?? {}).join(', ')}`
  }
  const words = wordsOf(wanted)
  if (words) return `must be one of ${words.join(', ')}`
  // A value that may be null is a union, and "expected union value" helps nobody.
  if (wanted !== schema) return `must be of type ${typeOf(wanted)} and within its limits, or null`
  return (message ?? 'is not valid').replace(/^./, (letter) => letter.toLowerCase())
}

/** What a value has to be, if it is not null. */
function unwrap(schema: object | undefined): object | undefined {
  const choices = property(schema, 'anyOf') ?? property(schema, 'oneOf')
  const others = Array.isArray(choices) ? choices.filter((choice) => property(choice, 'type') !== 'null') : []
  return others.length === 1 ? others[0] : schema
}

/** A whole number is a union as well: in a query it is a text that says one. */
const typeOf = (schema: object | undefined): unknown =>
  property(schema, 'type') ??
  choicesOf(schema)
    .map((choice) => property(choice, 'type'))
    .find((type) => type !== 'string') ??
  'documented'

function choicesOf(schema: object | undefined): object[] {
  const choices = property(schema, 'anyOf')
  return Array.isArray(choices) ? choices : []
}

/** The words that a union is made of, when it is made of words. */
function wordsOf(schema: object | undefined): string[] | undefined {
  const words = choicesOf(schema).map((choice) => property(choice, 'const'))
  return words.length > 0 && words.every((word) => typeof word === 'string') ? words : undefined
}

const property = (of: object | undefined, name: string): unknown => (of as Record<string, unknown> | undefined)?.[name]
