import { pino } from 'pino'

/** Keys whose values never reach a log, wherever they stand. */
const SECRET = [
  'authorization',
  'cookie',
  'password',
  'token',
  'access_token',
  'refresh_token',
  'api_key',
  'apiKey',
  'litellmKey',
  'key',
  'secret',
]

/** JSON lines on standard output. @param base what each line says. */
export const openLog = (level: string, base: object | null = null) =>
  pino({
    level,
    base,
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: {
      paths: SECRET.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]),
      censor: '[hidden]',
    },
    serializers: { err: describeError },
  })

export type Log = ReturnType<typeof openLog>

/**
 * An error with its causes, without the data of the request: database errors quote parameters, and those are what
 * people wrote.
 */
function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return { message: String(error) }
  const { name, stack, cause } = error
  const code = 'code' in error ? error.code : undefined
  // Drizzle's message is the whole query with its parameters; the cause says what was wrong.
  const message = error.message.startsWith('Failed query') ? 'A query failed' : error.message
  const frames = stack
    ?.split('\n')
    .filter((line) => /^\s+at /.test(line))
    .slice(0, 12)
  return {
    name,
    message,
    code,
    stack: frames,
    ...(cause ? { cause: describeError(cause) } : {}),
  }
}
