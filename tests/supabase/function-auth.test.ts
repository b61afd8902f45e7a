import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { generateKeyPairSync, type KeyObject, randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { exportJWK, type JWTPayload, SignJWT } from 'jose'
import type { PoolClient } from 'pg'
import pkg from '../../package.json' with { type: 'json' }
import { forge } from '../support/forge'
import { DENO_OPTIONS, denoPath, FUNCTION, type RunningFunction, startFunction } from '../support/supabase/function'
import { type Client, call, inSeconds, openClient, PROJECT, sign, talked } from './client'

let client: Client
beforeAll(async () => {
  client = await openClient()
})
afterAll(() => client.close())

const sub = randomUUID()
const usual = { sub, role: 'authenticated', aud: 'authenticated', iss: `${PROJECT}/auth/v1`, exp: inSeconds(3600) }
const pem = ({ publicKey }: { publicKey: KeyObject }) => publicKey.export({ type: 'spki', format: 'pem' }).toString()
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })

const statusWith = async (edge: RunningFunction, token: string) =>
  (await call(edge, token, 'GET', '/conversations')).status

describe('a project with a shared secret', () => {
  test('takes its tokens', async () => {
    expect(await statusWith(client.edge, await sign({ sub }))).toBe(200)
  })

  const bad: [string, () => string | Promise<string>][] = [
    ['no token', () => ''],
    ['what is no token', () => 'abc'],
    ['an expired one', () => sign({ sub, exp: inSeconds(-60) })],
    ['one without an end', () => sign({ sub, exp: undefined })],
    ['one for another audience', () => sign({ sub, aud: 'anon' })],
    ['one without an audience, like the anon key', () => sign({ role: 'anon', aud: undefined, sub: undefined })],
    ['one of another project', () => sign({ sub, iss: 'https://other.example/auth/v1' })],
    ['one of nobody', () => sign({})],
    ['one of somebody who is no user', () => sign({ sub: 'admin' })],
    ["one signed with another project's secret", () => sign({ sub }, new TextEncoder().encode('x'.repeat(64)))],
    ['an unsigned one', () => forge({ alg: 'none' }, usual)],
    ['an unsigned one that says otherwise', () => forge({ alg: 'HS256' }, usual)],
    ['one signed with a key of its own', () => sign({ sub }, ec.privateKey as never, 'ES256')],
    ['one in another algorithm', () => sign({ sub }, undefined, 'HS512')],
  ]
  test.each(bad)('refuses %s', async (_, token) => {
    const said = await call(client.edge, await token(), 'GET', '/conversations')
    expect(said).toMatchObject({ status: 401, success: false, error: expect.any(String) })
  })
})

describe.each([
  ['ES256', ec],
  ['RS256', rsa],
] as const)('a project that publishes %s keys', (alg, pair) => {
  let keys: ReturnType<typeof Bun.serve>
  let edge: RunningFunction
  let iss: string
  let published: object[]
  beforeAll(async () => {
    published = [{ ...(await exportJWK(pair.publicKey)), kid: 'one', alg, use: 'sig' }]
    keys = Bun.serve({
      hostname: '127.0.0.1',
      port: 0,
      routes: { '/auth/v1/.well-known/jwks.json': () => Response.json({ keys: published }) },
      fetch: () => new Response(null, { status: 404 }),
    })
    const supabaseUrl = `http://127.0.0.1:${keys.port}`
    iss = `${supabaseUrl}/auth/v1`
    edge = await startFunction({ databaseUrl: String(client.pool.options.connectionString), supabaseUrl })
  })
  afterAll(async () => {
    await edge.stop()
    await keys.stop(true)
  })

  const signed = (claims: JWTPayload, key = pair.privateKey, header = {}) =>
    new SignJWT({ ...usual, iss, ...claims }).setProtectedHeader({ alg, kid: 'one', ...header }).sign(key)

  test('takes tokens signed with them', async () => {
    expect(await statusWith(edge, await signed({}))).toBe(200)
  })

  test('refuses every other token', async () => {
    const twin = (
      alg === 'ES256'
        ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
        : generateKeyPairSync('rsa', { modulusLength: 2048 })
    ).privateKey
    const tokens = [
      await signed({ exp: inSeconds(-60) }),
      await signed({ iss: `${PROJECT}/auth/v1` }),
      await signed({ aud: 'other' }),
      await signed({}, twin),
      await signed({}, twin, { kid: 'two' }),
      // The public key is no secret; whoever signs HS256 with it must not get in.
      forge({ alg: 'HS256', kid: 'one' }, { ...usual, iss }, pem(pair)),
      forge({ alg: 'HS256', kid: 'one' }, { ...usual, iss }, JSON.stringify(published[0])),
      forge({ alg: 'none' }, { ...usual, iss }),
      await sign({ sub, iss }),
    ]
    for (const token of tokens) expect({ token, status: await statusWith(edge, token) }).toEqual({ token, status: 401 })
  })
})

describe('one call in the database', () => {
  const door = 'select conversation_manager($1, $2, $3) as data'
  const settings = `select current_user as role, nullif(current_setting('request.jwt.claims', true), '') as claims,
    current_setting('timezone') as zone`
  let connection: PoolClient
  beforeAll(async () => {
    connection = await client.pool.connect()
  })
  afterAll(() => connection.release(true))
  const run = async (sql: string, values: unknown[] = []) => (await connection.query(sql, values)).rows[0]

  test('leaves neither role nor claims to the next on the same connection', async () => {
    await run(`set timezone to 'Asia/Tokyo'`)
    const before = await run(settings)
    expect(before).toEqual({ role: 'project_owner', claims: null, zone: 'Asia/Tokyo' })
    const claims = { sub: randomUUID(), email: 'someone@example.com' }
    expect(await run(door, [claims, 'conversations', { page: 1, limit: 20 }])).toMatchObject({ data: { total: 0 } })
    expect(await run(settings)).toEqual(before)
    await expect(run(door, [claims, 'message', { message_id: randomUUID() }])).rejects.toMatchObject({ code: 'PT404' })
    expect(await run(settings)).toEqual(before)
  })

  test('runs under Row Level Security, whatever the function asks for', async () => {
    const [owner, other] = [await client.person(), await client.person()]
    const { id, answerId } = await talked(owner)
    // The owner of the tables sees the row; the same connection, inside the call, does not.
    expect(await run('select id from messages where id = $1', [answerId])).toEqual({ id: answerId })
    const asked = run(door, [{ sub: other.id }, 'message', { message_id: answerId }])
    await expect(asked).rejects.toMatchObject({ code: 'PT404' })
    expect(await run(door, [{ sub: owner.id }, 'conversation', { conversation_id: id }])).toMatchObject({
      data: { id },
    })
  })

  test('tells callers of different people apart when they come at once', async () => {
    const people = await Promise.all(Array.from({ length: 8 }, () => client.person()))
    await Promise.all(people.map((person) => person.post('/init-conversation', { title: person.id })))
    const turns = Array.from({ length: 10 }, () => people).flat()
    const lists = await Promise.all(turns.map((person) => person.get('/conversations')))
    for (const [i, list] of lists.entries()) {
      expect(list).toMatchObject({ total: 1, conversations: [{ title: turns[i]?.id, user_id: turns[i]?.id }] })
    }
  })
})

describe('the program', () => {
  test('logs one line for a failed request, without tokens, texts or values', async () => {
    const person = await client.person()
    const canary = `canary-${randomUUID()}`
    await person.post('/add-message', { role: 'user', content: canary })
    await person.call('POST', '/add-message', { role: canary, content: canary })
    const turn = {
      message_id: randomUUID(),
      status: 'complete',
      cost_nanos: canary,
      created_at: '2026-11-21T10:00:00Z',
    }
    const { id } = await talked(person)
    const bad = await person.call('POST', '/save-response', { conversation_id: id, content: canary, turn })
    expect(bad).toMatchObject({ status: 400, error: 'The request is not valid' })
    const log = client.edge.log()
    const lines = log.split('\n').filter((line) => line.startsWith('{'))
    expect(JSON.parse(lines.at(-1) ?? '')).toMatchObject({
      level: 'warn',
      status: 400,
      method: 'POST',
      path: '/save-response',
      cause: { code: '22P02' },
    })
    expect(log).not.toContain(canary)
    expect(log).not.toContain(person.token)
  })

  test('says nothing about a database that is away', async () => {
    const edge = await startFunction({
      databaseUrl: 'postgres://nobody@127.0.0.1:1/none',
      supabaseUrl: PROJECT,
      algorithm: 'HS256',
      jwtSecret: 'x'.repeat(40),
    })
    const token = await sign({ sub }, new TextEncoder().encode('x'.repeat(40)))
    const said = await call(edge, token, 'GET', '/conversations')
    expect(said).toMatchObject({ status: 500, success: false, error: 'Internal error' })
    expect(edge.log()).toContain('ECONNREFUSED')
    await edge.stop()
  })

  test('blames nobody for a token when the published keys cannot be had', async () => {
    const edge = await startFunction({
      databaseUrl: String(client.pool.options.connectionString),
      supabaseUrl: 'http://127.0.0.1:1',
    })
    const token = await sign({ sub, iss: 'http://127.0.0.1:1/auth/v1' }, ec.privateKey as never, 'ES256')
    expect(await call(edge, token, 'GET', '/conversations')).toMatchObject({ status: 500, error: 'Internal error' })
    await edge.stop()
  })

  test('uses the same packages as the server', async () => {
    const { imports } = await Bun.file(join(FUNCTION, 'deno.json')).json()
    const { pg, jose } = pkg.dependencies
    expect(imports).toEqual({ pg: `npm:pg@${pg}`, jose: `npm:jose@${jose}` })
  })

  test('is sound TypeScript for Deno and needs nothing outside its folder', async () => {
    const check = Bun.spawnSync([denoPath(), 'check', ...DENO_OPTIONS, 'index.ts'], { cwd: FUNCTION })
    expect({ code: check.exitCode, said: check.exitCode ? check.stderr.toString() : '' }).toEqual({ code: 0, said: '' })
    for (const file of new Bun.Glob('*.ts').scanSync(FUNCTION)) {
      const text = await Bun.file(join(FUNCTION, file)).text()
      const imports = new Bun.Transpiler({ loader: 'ts' }).scanImports(text).map(({ path }) => path)
      expect(imports.filter((path) => !/^\.\/\w+\.ts$|^(?:pg|jose)$/.test(path))).toEqual([])
    }
  })
})
