/** The Edge Function with a database of its own, and people who call it as a client that was never told of this server does. */
import { expect } from 'bun:test'
import { randomBytes, randomUUID } from 'node:crypto'
import { type JWTPayload, SignJWT } from 'jose'
import type { Pool } from 'pg'
import { createSupabaseDatabase } from '../support/supabase/database'
import { type RunningFunction, startFunction } from '../support/supabase/function'

export const PROJECT = 'https://project.example'
export const SECRET = randomBytes(32).toString('hex')
export const UUID = expect.stringMatching(/^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/)
/** As in the documented contract: with offset. */
export const TIME = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?\+00:00$/)

/** Whatever the function says. Tests look at it with `expect`, which needs no types. */
export type Data = Record<string, unknown> & Record<'id' | 'conversation_id' | 'branch_id' | 'message_id', string>

export interface Said {
  status: number
  headers: Headers
  success: boolean
  data: Data
  error: string
}

export interface Person {
  id: string
  token: string
  /** Says whatever the function answers. */
  call: (method: string, path: string, body?: unknown) => Promise<Said>
  /** The data of a call that succeeds. */
  get: (path: string) => Promise<Data>
  post: (path: string, body?: unknown) => Promise<Data>
  patch: (path: string, body?: unknown) => Promise<Data>
}

export interface Client {
  pool: Pool
  edge: RunningFunction
  /** Somebody new. */
  person: () => Promise<Person>
  close: () => Promise<void>
}

export async function openClient(): Promise<Client> {
  const database = await createSupabaseDatabase()
  const edge = await startFunction({ databaseUrl: database.url, supabaseUrl: PROJECT, jwtSecret: SECRET }).catch(
    async (error) => {
      await database.drop()
      throw error
    },
  )
  return {
    pool: database.pool,
    edge,
    async person() {
      const id = randomUUID()
      const email = `${id}@example.com`
      await database.pool.query('insert into auth.users (id, email) values ($1, $2)', [id, email])
      return personOf(edge, id, await sign({ sub: id, email }))
    },
    async close() {
      await edge.stop()
      await database.drop()
    },
  }
}

/** A token as the project's Auth issues one, with these claims over the usual. */
export function sign(
  claims: Partial<Record<keyof JWTPayload, unknown>>,
  key: Uint8Array | CryptoKey = new TextEncoder().encode(SECRET),
  alg = 'HS256',
) {
  const usual = { role: 'authenticated', aud: 'authenticated', iss: `${PROJECT}/auth/v1`, exp: inSeconds(3600) }
  const payload = Object.fromEntries(Object.entries({ ...usual, ...claims }).filter(([, value]) => value !== undefined))
  return new SignJWT(payload).setProtectedHeader({ alg, typ: 'JWT' }).sign(key)
}

export const inSeconds = (n: number) => Math.floor(Date.now() / 1000) + n

export async function call(
  edge: RunningFunction,
  token: string,
  method: string,
  path: string,
  body?: unknown,
): Promise<Said> {
  const response = await fetch(edge.url + path, {
    method,
    headers: { apikey: 'the-anon-key', ...(token ? { authorization: `Bearer ${token}` } : {}) },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  const said = (await response.json()) as Omit<Said, 'status' | 'headers'>
  return { ...said, status: response.status, headers: response.headers }
}

function personOf(edge: RunningFunction, id: string, token: string): Person {
  const ask: Person['call'] = (method, path, body) => call(edge, token, method, path, body)
  const data = async (method: string, path: string, body?: unknown) => {
    const said = await ask(method, path, body)
    if (said.status !== 200 || !said.success) throw new Error(`${method} ${path}: ${said.status} ${said.error}`)
    return said.data
  }
  return {
    id,
    token,
    call: ask,
    get: (path) => data('GET', path),
    post: (path, body) => data('POST', path, body),
    patch: (path, body) => data('PATCH', path, body),
  }
}

/** A conversation of one question and its answer, as older clients make one. */
export async function talked(person: Person) {
  const question = await person.post('/add-message', { role: 'user', content: 'question', model: 'some-model' })
  const { conversation_id, branch_id, message_id } = question
  const answer = await person.post('/save-response', {
    conversation_id,
    branch_id,
    parent_id: message_id,
    content: 'answer',
    model: 'some-model',
    tokens_count: 7,
  })
  return { id: conversation_id, branchId: branch_id, questionId: message_id, answerId: answer.message_id }
}
