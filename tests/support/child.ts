/** The server as a child process, for what only a process can show: signals, crashes, exit codes, logs. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Frame, readSse, textOf } from './read-sse'
import { freePort, until } from './servers'

export const PASSWORD = 'canary-password-222'
const START_LIMIT_MS = 25_000

export interface Child {
  base: string
  pid: number
  /** Standard output and standard error so far. */
  out: () => string
  err: () => string
  exited: Promise<number>
  kill: (signal: NodeJS.Signals) => void
}

const scratch = mkdtempSync(join(tmpdir(), 'orchestrator-process-'))
const children: Child[] = []

/** An empty data directory, gone after `endChildren`. */
export const newDir = (): string => mkdtempSync(join(scratch, 'data-'))

/** Ends what still runs. Call it when the test file is done. */
export async function endChildren(): Promise<void> {
  for (const child of children) child.kill('SIGKILL')
  await Promise.all(children.map((child) => child.exited))
  rmSync(scratch, { recursive: true, force: true })
}

/** Spawns without waiting. Nothing of this process's own settings reaches the child. */
export async function spawn(env: Record<string, string>): Promise<Child> {
  const port = env.PORT ?? String(await freePort())
  const { PATH = '', HOME = '' } = process.env
  const subprocess = Bun.spawn([process.execPath, 'src/index.ts'], {
    cwd: join(import.meta.dir, '../..'),
    env: {
      PATH,
      HOME,
      HOST: '127.0.0.1',
      PORT: port,
      BUN_CONFIG_MAX_HTTP_REQUESTS: '65535',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const child = {
    base: `http://127.0.0.1:${port}`,
    pid: subprocess.pid,
    out: collect(subprocess.stdout),
    err: collect(subprocess.stderr),
    exited: subprocess.exited,
    kill: (signal: NodeJS.Signals) => subprocess.kill(signal),
  }
  children.push(child)
  return child
}

function collect(stream: ReadableStream<Uint8Array>): () => string {
  let text = ''
  const decoder = new TextDecoder()
  void (async () => {
    for await (const chunk of stream) text += decoder.decode(chunk, { stream: true })
  })()
  return () => text
}

export const readiness = async ({ base }: Child) => (await fetch(`${base}/ready`).catch(() => undefined))?.status

/** Spawns and waits until it is ready. */
export async function start(env: Record<string, string>): Promise<Child> {
  const child = await spawn(env)
  let code: number | undefined
  void child.exited.then((exitCode) => {
    code = exitCode
  })
  await until(async () => code !== undefined || (await readiness(child)) === 200, START_LIMIT_MS)
  if (code !== undefined) throw new Error(`The server ended with ${code}: ${child.err()}`)
  return child
}

interface Call {
  token?: string
  json?: unknown
  headers?: Record<string, string>
  method?: string
  signal?: AbortSignal
}

/** A request to it, over the network. */
export const call = (
  { base }: Pick<Child, 'base'>,
  path: string,
  { token, json, headers, method, signal }: Call = {},
) =>
  fetch(base + path, {
    method: method ?? (json === undefined ? 'GET' : 'POST'),
    headers: {
      ...(token ? { authorization: `Bearer ${token}` } : {}),
      ...(json === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(json === undefined ? {} : { body: JSON.stringify(json) }),
    ...(signal ? { signal } : {}),
  })

/** A new account's access token. */
export async function signUp(child: Child): Promise<string> {
  const person = { email: `${crypto.randomUUID()}@example.com`, password: PASSWORD, name: 'Test' }
  const answer = await call(child, '/api/v1/auth/register', { json: person })
  if (answer.status !== 201) throw new Error(`Signing up failed: ${await answer.text()}`)
  return (await answer.json()).tokens.access_token
}

/** Begins an answer and resolves when it has said so much; `rest` goes on reading. */
export async function begin(child: Child, token: string, json: object, until: string) {
  const enough = Promise.withResolvers<Frame[]>()
  const response = await call(child, '/v1/chat/completions', { token, json })
  const rest = readSse(response, (frames) => {
    if (textOf(frames).includes(until)) enough.resolve(frames)
    return false
  })
  rest.catch(() => {})
  const first = (await enough.promise)[0]?.data
  return { rest, run: String(first?.run_id), conversation: String(first?.conversation_id) }
}

/** The `data` of one of our own answers. */
export async function data(child: Child, token: string, path: string) {
  return (await (await call(child, path, { token })).json()).data
}
