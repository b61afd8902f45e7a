import { afterAll, beforeAll, expect, test } from 'bun:test'
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { readSse } from './support/read-sse'
import { freePort, until } from './support/servers'

/** The repository as a newcomer gets it: what git knows of, nothing that was installed or made. */
const clone = mkdtempSync(join(tmpdir(), 'orchestrator-clone-'))
const root = join(import.meta.dir, '..')
let port: number
let server: Bun.Subprocess | undefined

beforeAll(async () => {
  const listed = Bun.spawnSync(['git', 'ls-files', '-co', '--exclude-standard', '-z'], { cwd: root })
  for (const file of listed.stdout.toString().split('\0').filter(Boolean)) {
    mkdirSync(dirname(join(clone, file)), { recursive: true })
    cpSync(join(root, file), join(clone, file))
  }
  port = await freePort()
  await start()
}, 180_000)

afterAll(async () => {
  await stop()
  rmSync(clone, { recursive: true, force: true })
})

/** The one command of the README. Nothing of this repository's own installation is on the path, only Node.js. */
async function start(): Promise<void> {
  const path = (process.env.PATH ?? '').split(':').filter((folder) => !folder.includes('node_modules'))
  const env: Record<string, string> = { PATH: path.join(':'), HOME: process.env.HOME ?? clone, PORT: String(port) }
  server = Bun.spawn(['npx', '--yes', 'bun', 'start'], {
    cwd: clone,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  await until(async () => (await fetch(`${base()}/ready`).catch(() => undefined))?.status === 200, 150_000)
}

async function stop(): Promise<void> {
  // Ctrl-C at a terminal goes to all of npx, bun and the server.
  if (server) process.kill(-server.pid, 'SIGINT')
  await server?.exited
  await until(async () => (await fetch(`${base()}/live`).catch(() => undefined)) === undefined)
}

const base = () => `http://127.0.0.1:${port}`

async function call(path: string, { token, json }: { token?: string; json?: unknown } = {}): Promise<Response> {
  return fetch(base() + path, {
    method: json === undefined ? 'GET' : 'POST',
    headers: {
      ...(token ? { authorization: `Bearer ${token}` } : {}),
      ...(json === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(json === undefined ? {} : { body: JSON.stringify(json) }),
  })
}

test('a newcomer with Node.js runs one command and chats, and a restart loses nothing', async () => {
  const credentials = { email: 'new@example.com', password: 'password123' }
  const registered = await (await call('/api/v1/auth/register', { json: { ...credentials, name: 'New' } })).json()
  const token = registered.tokens.access_token

  const answer = await readSse(
    await call('/v1/chat/completions', { token, json: { message: 'Hello, my name is Ada' } }),
  )
  expect(answer.done).toBe(true)
  expect(answer.text).toContain('Ada')
  const { conversation_id, message_id } = answer.frames[0]?.data ?? {}

  const regenerated = await (
    await call('/v1/chat/regenerate', { token, json: { conversation_id, message_id, stream: false } })
  ).json()
  expect(regenerated.choices[0].message.content).toContain('Ada')

  await stop()
  await start()

  const again = await (await call('/api/v1/auth/login', { json: credentials })).json()
  const signedIn = again.tokens.access_token
  // The token from before the restart is as good as the new one.
  expect((await call('/api/v1/auth/me', { token })).status).toBe(200)
  const list = await (await call('/v1/conversations', { token: signedIn })).json()
  expect(list.data.items.map(({ id }: { id: string }) => id)).toEqual([conversation_id])
  const path = await (await call(`/v1/conversations/${conversation_id}/messages`, { token: signedIn })).json()
  expect(path.data.items[0].content).toBe('Hello, my name is Ada')
  expect(path.data.items[1]).toMatchObject({ id: regenerated.message_id, siblings: { index: 2, count: 2 } })
}, 240_000)
