/**
 * The part of a LiteLLM proxy that administers people, after its documentation (https://docs.litellm.ai/docs/proxy/virtual_keys)
 * and the answers of release 1.90: a proxy without a database, as in tests/interop, refuses all of it. Anything else goes to the fake
 * provider behind it.
 */
import { type FakeProvider, startFakeProvider } from './fake-provider'

export const MASTER_KEY = 'sk-canary-master-key'
export const KEY_PREFIX = 'sk-canary-person-'

export type Trouble = 'none' | 'no-database' | 'broken' | 'lost' | 'silent'

interface Person {
  email: string | undefined
  keys: string[]
  spend: number
  maxBudget: number | null
}

export interface FakeLiteLlm {
  url: string
  provider: FakeProvider
  people: Map<string, Person>
  /** Administrators' calls, as `POST /user/new`. */
  calls: string[]
  /** Bodies of `POST /user/new`. */
  bodies: Record<string, unknown>[]
  /** What goes wrong from now on. `lost`: the work is done, the answer is not heard. */
  be: (trouble: Trouble) => void
  stop: () => Promise<void>
}

export function startFakeLiteLlm(): FakeLiteLlm {
  const provider = startFakeProvider()
  const people = new Map<string, Person>()
  const calls: string[] = []
  const bodies: Record<string, unknown>[] = []
  let trouble: Trouble = 'none'
  let made = 0
  const newKey = (person: Person) => {
    const key = `${KEY_PREFIX}${++made}`
    person.keys.push(key)
    return key
  }

  const routes: Record<string, (request: Request) => Promise<Response>> = {
    'POST /user/new': async (request) => {
      const body = (await request.json()) as { user_id: string; user_email?: string }
      bodies.push(body)
      if (people.has(body.user_id)) return taken('id', body.user_id)
      const same = [...people.values()].some(({ email }) => email && email === body.user_email)
      if (same) return taken('email', String(body.user_email))
      const person = { email: body.user_email, keys: [], spend: 0, maxBudget: null }
      people.set(body.user_id, person)
      return Response.json({ ...body, key: newKey(person), key_name: 'sk-...1', expires: null, models: [], spend: 0 })
    },
    'POST /key/generate': async (request) => {
      const { user_id } = (await request.json()) as { user_id: string }
      const person = people.get(user_id) ?? { email: undefined, keys: [], spend: 0, maxBudget: null }
      people.set(user_id, person)
      return Response.json({ key: newKey(person), user_id })
    },
    'GET /user/info': async (request) => {
      const id = new URL(request.url).searchParams.get('user_id') ?? ''
      const person = people.get(id)
      if (!person) return Response.json({ error: { message: `User ${id} not found`, code: '404' } }, { status: 404 })
      const user_info = { user_id: id, spend: person.spend, max_budget: person.maxBudget }
      return Response.json({ user_id: id, user_info, keys: [{ token: 'hash' }], teams: [] })
    },
  }

  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    idleTimeout: 30,
    async fetch(request) {
      const { pathname, search } = new URL(request.url)
      const name = `${request.method} ${pathname}`
      const route = routes[name]
      if (!route) return fetch(provider.url + pathname.replace(/^\/v1(?=\/)/, '') + search, forwarded(request))
      calls.push(name)
      if (request.headers.get('authorization') !== `Bearer ${MASTER_KEY}`) return new Response('no', { status: 401 })
      if (trouble === 'silent') return new Promise(() => {})
      if (trouble === 'no-database') {
        return Response.json({ error: { message: 'DB not connected', type: 'no_db_connection' } }, { status: 400 })
      }
      if (trouble === 'broken') return new Response(`trace with ${MASTER_KEY}`, { status: 500 })
      const response = await route(request)
      return trouble === 'lost' ? new Response('upstream went away', { status: 502 }) : response
    },
  })

  return {
    url: `http://127.0.0.1:${server.port}`,
    provider,
    people,
    calls,
    bodies,
    be(next) {
      trouble = next
    },
    async stop() {
      await server.stop(true)
      await provider.stop()
    },
  }
}

const taken = (what: string, value: string) =>
  Response.json({ detail: { error: `User with ${what} ${value} already exists` } }, { status: 409 })

const forwarded = ({ method, headers, body, signal }: Request): RequestInit => ({
  method,
  headers: [...headers].filter(([name]) => name !== 'host') as [string, string][],
  body,
  signal,
})
