/** The Edge Function `conversation-manager`: conversations, branches and messages of the person whose token comes along. */
import { Tokens } from './auth.ts'
import { openDatabase } from './database.ts'
import { answer, Failure, failed, preflight, readBody } from './http.ts'
import { find } from './routes.ts'

const VERSION = 2

const env = Deno.env.toObject()
const tokens = new Tokens(env)
const database = openDatabase(env)

Deno.serve(async (request) => {
  const started = Date.now()
  const { method } = request
  const url = new URL(request.url)
  // Supabase keeps the function's name in the path.
  const path = url.pathname.replace(/^\/conversation-manager(?=\/|$)/, '').replace(/\/+$/, '') || '/'
  try {
    if (method === 'OPTIONS') return preflight()
    if (path === '/' && method === 'GET') {
      return answer(200, `{"success":true,"data":{"name":"conversation-manager","version":${VERSION}}}`)
    }
    const { route, params } = find(method, path)
    const claims = await tokens.verify(request.headers.get('authorization'))
    const body = method === 'GET' ? {} : await readBody(request)
    const args = route.read({ params, body, query: Object.fromEntries(url.searchParams) })
    const data = await database.call(claims, route.call, args)
    return answer(200, `{"success":true,"data":${data}}`)
  } catch (error) {
    const failure = error instanceof Failure ? error : new Failure(500, 'Internal error', { cause: error })
    log({ method, path, ms: Date.now() - started }, failure)
    return failed(failure)
  }
})

/** One line per failed request. Tokens, texts and values stay out of it: of a database's error only what it is about. */
function log(request: object, { status, message, cause }: Failure): void {
  const { name, code, constraint, table, routine, severity } = (cause ?? {}) as Record<string, unknown>
  const why = cause instanceof Error && !severity ? cause.message : undefined
  const line = {
    time: new Date().toISOString(),
    level: status >= 500 ? 'error' : 'warn',
    status,
    ...request,
    error: message,
  }
  // biome-ignore lint/suspicious/noConsole: what is written there is the function's log at Supabase
  console.error(JSON.stringify({ ...line, cause: cause && { name, code, constraint, table, routine, message: why } }))
}
