import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type TestApp, testApp } from './support/app'

/** Everything that answers strangers. A route that is not here and answers one anyway fails these tests. */
const PUBLIC = [
  'GET /',
  'GET /docs',
  'GET /docs/favicon-32x32.png',
  'GET /docs/start.js',
  'GET /docs/swagger-ui-bundle.js',
  'GET /docs/swagger-ui.css',
  'GET /health',
  'GET /info',
  'GET /live',
  'GET /metrics',
  'GET /openapi.json',
  'GET /ready',
  // Says what may be said; who may say it is asked by the socket.
  'GET /v1/ws/schema.json',
  'POST /api/v1/auth/login',
  'POST /api/v1/auth/refresh',
  'POST /api/v1/auth/register',
  // Strangers may knock: they sign in with their first message.
  'WS /v1/ws',
  'WS /ws',
]

/** Pages, files, and names with slashes that have an operation of their own: the OpenAPI document leaves them out. */
const HIDDEN = [...PUBLIC.filter((route) => /^GET \/(docs.*|openapi\.json)?$|^WS /.test(route)), 'GET /v1/models/*']

/** Browsers ask before they send; the CORS plugin answers. */
const isPreflight = (route: string) => route.startsWith('OPTIONS ')

let app: TestApp
let routes: string[]
beforeAll(async () => {
  app = await testApp()
  const all = app.app.routes.map(({ method, path }) => `${method} ${path.length > 1 ? path.replace(/\/$/, '') : path}`)
  routes = [...new Set(all)].filter((route) => !isPreflight(route)).sort()
})
afterAll(() => app.close())

const concrete = (path: string) => path.replaceAll(/:\w+/g, () => crypto.randomUUID())

/**
 * Pages of the AI SDK get a sentence for a body; its code is a header. Anthropic's clients get a type and no code, the
 * Observatory's a sentence.
 */
const codeOf = async (answer: Response) => {
  const code = answer.headers.get('x-error-code')
  if (code) return code
  const { error, detail } = await answer.json()
  return error?.code ?? error?.type ?? detail
}

describe('to strangers', () => {
  const ask = (route: string, body: string | undefined) => {
    const [method = '', path = ''] = route.split(' ')
    const headers = { 'content-type': 'application/json' }
    return app.call(concrete(path), { method, headers, ...(body === undefined || method === 'GET' ? {} : { body }) })
  }
  const guarded = () => routes.filter((route) => !PUBLIC.includes(route))

  test('the list of what is public names only what there is', () => {
    expect(PUBLIC.filter((route) => !routes.includes(route))).toEqual([])
    expect(guarded().length).toBeGreaterThan(10)
  })

  test.each([undefined, 'null', '{}', '[]', '7', '"text"', '{"message":7,"messages":7,"name":7,"title":7}'])(
    'every other route answers 401, with the body %j',
    async (body) => {
      for (const route of guarded()) {
        const answer = await ask(route, body)
        expect([route, answer.status]).toEqual([route, 401])
        expect([route, await codeOf(answer)]).toEqual([
          route,
          expect.stringMatching(/^(UNAUTHORIZED|invalid_api_key|authentication_error|Sign in, then .*)$/),
        ])
      }
    },
  )

  test('every other route answers 401 to ids that are none and to query strings', async () => {
    for (const route of guarded()) {
      const path = route.replaceAll(/:\w+/g, 'not-an-id')
      expect([route, (await ask(`${path}?page=x&limit=x`, '{}')).status]).toEqual([route, 401])
    }
  })

  test('every other route answers 401 whatever a stranger claims to be', async () => {
    for (const route of guarded()) {
      const [method = '', path = ''] = route.split(' ')
      const headers = { authorization: 'Bearer sk-orc-unknown', 'x-user-id': 'admin', 'x-role': 'admin' }
      expect([route, (await app.call(concrete(path), { method, headers })).status]).toEqual([route, 401])
    }
  })

  test('what is public answers without an identity', async () => {
    for (const route of PUBLIC) expect([route, (await ask(route, '{}')).status]).not.toEqual([route, 401])
  })

  test('the metrics ask for their token when there is one', async () => {
    const METRICS_TOKEN = 'a token of sixteen characters'
    const guardedMetrics = await testApp({ METRICS_TOKEN })
    const statuses = [undefined, 'wrong', METRICS_TOKEN].map(
      async (token) => (await guardedMetrics.call('/metrics', { token })).status,
    )
    expect(await Promise.all(statuses)).toEqual([401, 401, 200])
    await guardedMetrics.close()
  })
})

interface Media {
  schema?: object
  example?: unknown
}
interface Operation {
  summary?: string
  tags?: string[]
  security?: object[]
  responses?: Record<string, { description?: string; content?: Record<string, Media> }>
}

describe('the OpenAPI document', () => {
  let operations: [string, Operation][]
  beforeAll(async () => {
    const { paths } = await (await app.call('/openapi.json')).json()
    operations = Object.entries(paths as Record<string, Record<string, Operation>>).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]): [string, Operation] => {
        const plain = path.length > 1 ? path.replace(/\/$/, '') : path
        return [`${method.toUpperCase()} ${plain.replaceAll(/\{(\w+)\}/g, ':$1')}`, operation]
      }),
    )
  })
  /** The operations of which something is not so. */
  const failing = (check: (operation: Operation, route: string) => boolean) =>
    operations.filter(([route, operation]) => !check(operation, route)).map(([route]) => route)
  const statusesOf = ({ responses = {} }: Operation) => Object.keys(responses)

  test('describes every route that is not hidden on purpose, and nothing else', () => {
    const documented = operations.map(([route]) => route).sort()
    expect(documented).toEqual(routes.filter((route) => !HIDDEN.includes(route)))
  })

  test('gives every operation a summary and one tag', () => {
    expect(failing(({ summary, tags }) => Boolean(summary) && tags?.length === 1)).toEqual([])
  })

  test('gives every operation one success, with an example and its schema', () => {
    const good = ({ responses = {} }: Operation) => {
      const successes = Object.entries(responses).filter(([status]) => status.startsWith('2'))
      const media = Object.values(successes[0]?.[1].content ?? {})
      return successes.length === 1 && media.length > 0 && media.every((m) => m.schema && m.example !== undefined)
    }
    expect(failing(good)).toEqual([])
  })

  test('gives every failure an example', () => {
    const good = ({ responses = {} }: Operation) =>
      Object.entries(responses)
        .filter(([status]) => !status.startsWith('2'))
        .every(([, { content }]) => Object.values(content ?? {})[0]?.example !== undefined)
    expect(failing(good)).toEqual([])
  })

  test('names the failures that every operation can have', () => {
    expect(failing((operation) => ['422', '500'].every((status) => statusesOf(operation).includes(status)))).toEqual([])
    const withId = (route: string) => route.includes('/:')
    expect(failing((operation, route) => !withId(route) || statusesOf(operation).includes('404'))).toEqual([])
  })

  test('says of every operation whether it wants an identity, and of the guarded ones that they answer 401', () => {
    const good = (operation: Operation, route: string) => {
      const open = PUBLIC.includes(route)
      const says401 = statusesOf(operation).includes('401')
      return open ? operation.security?.length === 0 : operation.security?.length === 1 && says401
    }
    expect(failing(good)).toEqual([])
  })
})
