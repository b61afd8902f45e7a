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

function say({ message, schema }: Issue): string {
  const wanted = unwrap(schema)
  const format = property(wanted, 'format')
  if (format === 'uuid') return 'must be a UUID'
  if (format === 'email') return 'must be an e-mail address'
  const words = wordsOf(wanted)
  if (words) return `must be one of ${words.join(', ')}`
  // A value that may be null is a union, and "expected union value" helps nobody.
  if (wanted !== schema)
    return `must be of type ${property(wanted, 'type') ?? 'documented'} and within its limits, or null`
  return (message ?? 'is not valid').replace(/^./, (letter) => letter.toLowerCase())
}

/** What a value has to be, if it is not null. */
function unwrap(schema: object | undefined): object | undefined {
  const choices = property(schema, 'anyOf') ?? property(schema, 'oneOf')
  const others = Array.isArray(choices) ? choices.filter((choice) => property(choice, 'type') !== 'null') : []
  return others.length === 1 ? others[0] : schema
}

/** The words that a union is made of, when it is made of words. */
function wordsOf(schema: object | undefined): string[] | undefined {
  const choices = property(schema, 'anyOf')
  const words = Array.isArray(choices) ? choices.map((choice) => property(choice, 'const')) : []
  return words.length > 0 && words.every((word) => typeof word === 'string') ? words : undefined
}

const property = (of: object | undefined, name: string): unknown => (of as Record<string, unknown> | undefined)?.[name]
