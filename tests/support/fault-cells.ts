/** Plays every fault to every client through the whole server, over real HTTP, and says what is not as it must be. */
import { anthropic } from '../../src/llm/anthropic'
import type { Timeouts } from '../../src/llm/deadlines'
import { openAiCompatible } from '../../src/llm/openai-compatible'
import type { Provider } from '../../src/llm/port'
import { Router } from '../../src/llm/router'
import type { Deployment } from '../../src/llm/routes'
import { BEGUN, FAULTS, type Fault, WHOLE } from '../llm/faults'
import { testApp } from './app'
import { UPSTREAM_SECRET } from './fake-provider'
import { CLIENTS, type Client } from './fault-clients'
import type { Ended } from './fault-readers'
import { type Api, type FaultyProvider, startFaultyProvider } from './faulty-provider'
import { freePort } from './servers'

/** Who else could answer: nobody, one who can only begin anew, or one who goes on after what was said. */
type Company = 'alone' | 'beside one' | 'beside one that goes on'

export interface Cell {
  fault: Fault
  api: Api
  company: Company
  client: Client
  /** What is wrong; nothing when it is as it must be. */
  wrong: string[]
}

interface Kept {
  content: string
  status: string
}

type Deployments = [Deployment, ...Deployment[]]

/** What must come of it. */
interface Expected extends Pick<Ended, 'text' | 'error' | 'reason'> {
  /** In the database, for those whose answers are kept. */
  kept: Kept
  /** How often each of the two is asked. */
  asked: [first: number, second: number]
}

const GENEROUS: Timeouts = { connect: 10_000, firstToken: 10_000, idle: 10_000, total: 30_000 }
const KEYS = { first: 'sk-first-deployment-key', second: 'sk-second-deployment-key' }
/** A model without faults. */
const WELL = 'well'
/** Milliseconds that a client waits for the end of anything. */
const PATIENCE = 20_000
/** Words of the answer, each of which counts as a token. */
const TOKENS = 6
/** The same, as this server counts for models whose tokens it does not know: a tenth more. */
const COUNTED = 7
/** Cells at a time. More of them would only wait for each other. */
const AT_ONCE = 48

/** @param env of the server: its database. */
export async function playAll(env: Record<string, string> = {}): Promise<Cell[]> {
  const provider = startFaultyProvider()
  const app = await testApp({ ...env, OPENAI_BASE_URL: provider.url('openai'), OPENAI_API_KEY: 'sk-unused' })
  try {
    // Every cell has a router of its own, as breakers and the budget for retries would make one depend on another.
    const routers = new Map<string, Router>()
    app.services.models.route = (model, asker) => {
      const router = routers.get(model)
      if (!router) throw new Error(`Nobody plays ${model}`)
      return router.route(model, asker)
    }
    const table: Table = {
      provider,
      deadPort: await freePort(),
      base: app.listen(),
      tokens: { keeps: (await app.signUp()).token, stateless: (await app.signUp()).token },
      use: (model, deployments) => {
        const router = new Router({ providers: [], observer: app.services.metrics, totalMs: GENEROUS.total })
        router.use([{ model, strategy: 'ordered', deployments }])
        routers.set(model, router)
      },
    }
    const options = { name: 'well', baseUrl: provider.url('openai'), apiKey: 'sk-well', timeouts: GENEROUS }
    table.use(WELL, [deployment(openAiCompatible(options), WELL)])
    const cells = allCells()
    await inTurns(cells, AT_ONCE, async (cell, i) => {
      cell.wrong.push(...(await wrongIn(cell, `cell-${i}`, table).catch((error) => [String(error)])))
    })
    const left = provider.openStreams() + app.services.runs.active
    if (left > 0) await Bun.sleep(500)
    if (provider.openStreams() + app.services.runs.active > 0) cells[0]?.wrong.push('answers are left running')
    if ((await conversationsOf(table)) !== 0) cells[0]?.wrong.push('a stateless answer was kept')
    return cells
  } finally {
    await app.close()
    await provider.stop()
  }
}

interface Table {
  provider: FaultyProvider
  /** Nobody listens there. */
  deadPort: number
  base: string
  tokens: { keeps: string; stateless: string }
  use: (model: string, deployments: Deployments) => void
}

/** Those of one fault are far apart: played at once, the costly ones would make each other late. */
function allCells(): Cell[] {
  const cells: Cell[] = []
  for (const client of CLIENTS) {
    for (const api of ['openai', 'anthropic'] as const) {
      for (const company of ['alone', 'beside one', 'beside one that goes on'] as const) {
        const faults = FAULTS.filter(({ when }) => when === 'middle' || company !== 'beside one that goes on')
        for (const fault of faults) cells.push({ fault, api, company, client, wrong: [] })
      }
    }
  }
  return cells
}

async function inTurns<T>(items: T[], atOnce: number, work: (item: T, i: number) => Promise<void>): Promise<void> {
  let next = 0
  const worker = async () => {
    for (let i = next++; i < items.length; i = next++) await work(items[i] as T, i)
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
}

/** Plays one cell. @returns what is wrong. */
async function wrongIn(cell: Cell, model: string, table: Table): Promise<string[]> {
  const { client, fault } = cell
  const { base, provider, tokens } = table
  table.use(model, deploymentsOf(cell, model, table))
  const token = client.keeps ? tokens.keeps : tokens.stateless
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  const place = client.needsPlace ? await newConversation(table, headers) : ''
  const { path, body } = client.request({ model, text: WHOLE, conversationId: place })
  const signal = AbortSignal.timeout(PATIENCE)
  const response = await fetch(base + path, { method: 'POST', headers, body: JSON.stringify(body), signal })
  const said = await response.text()
  const ended = await client.read(response.status, said)
  const expected = expectedOf(cell)
  const kept = client.keeps ? await storedIn(ended.conversationId ?? place, { table, headers }) : undefined
  const asked = [provider.asked(`${model}-first`), provider.asked(`${model}-second`)]
  return [
    ...differences({ ...heard(ended), asked }, { ...heard(expected), asked: expected.asked }),
    ...(kept ? differences({ kept }, { kept: expected.kept }) : []),
    ...(fault.when === 'harmless' ? differences(ended, { tokens: fault.uncounted ? COUNTED : TOKENS }) : []),
    ...leaks(said + JSON.stringify([...response.headers]), table),
    ...(response.status === 429 ? wrongWait(response.headers.get('retry-after'), fault) : []),
  ]
}

function deploymentsOf({ fault, api, company }: Cell, model: string, { provider, deadPort }: Table): Deployments {
  if (fault.play) provider.play(`${model}-first`, fault.play)
  const url = provider.url(api)
  const [first, second] = [
    { baseUrl: fault.play ? url : url.replace(/:\d+/, `:${deadPort}`), timeouts: { ...GENEROUS, ...fault.limits } },
    { baseUrl: url, timeouts: GENEROUS },
  ]
  const faulty = deployment(providerOf(api, { name: 'first', apiKey: KEYS.first, ...first }), `${model}-first`)
  const other = providerOf(api, { name: 'second', apiKey: KEYS.second, ...second })
  const well = deployment(other, `${model}-second`, company === 'beside one that goes on')
  return company === 'alone' ? [faulty] : [faulty, well]
}

/** What a client was told; of a failure, no reason why the answer ended. */
const heard = ({ text, error, reason }: Pick<Ended, 'text' | 'error' | 'reason'>) => ({
  text,
  error,
  reason: error ? undefined : reason,
})

function expectedOf({ fault, company, client }: Cell): Expected {
  const { when, error, asked = 1 } = fault
  const first = fault.play ? asked : 0
  const once = fault.play ? 1 : 0
  const reason = client.reasons[fault.reason ? 'filtered' : 'all']
  const whole = { text: WHOLE, reason, kept: { content: WHOLE, status: 'complete' } }
  const failed = (text: string): Omit<Expected, 'asked'> => ({
    text: client.plain ? '' : text,
    error: error && client.errors(error)[when === 'middle' && !client.plain ? 'after' : 'before'],
    kept: { content: text, status: 'error' },
  })
  if (when === 'harmless') return { ...whole, asked: [first, 0] }
  if (when === 'answer') return { ...(error ? failed('') : whole), asked: [1, 0] }
  if (company === 'alone') {
    return { ...(error ? failed(when === 'middle' ? BEGUN : '') : whole), asked: [when === 'before' ? first : 1, 0] }
  }
  if (when === 'before' || company === 'beside one that goes on') return { ...whole, asked: [once, 1] }
  if (client.restarts) return { ...whole, asked: [1, 1] }
  const told = failed(BEGUN)
  // Who cannot be told is told that it broke off; what is kept is made all the same.
  return client.keeps ? { ...whole, text: BEGUN, error: client.anew, asked: [1, 1] } : { ...told, asked: [1, 0] }
}

const providerOf = (
  api: Api,
  options: { name: string; baseUrl: string; apiKey: string; timeouts: Timeouts },
): Provider => (api === 'openai' ? openAiCompatible(options) : anthropic(options))

const deployment = (provider: Provider, model: string, prefill = false): Deployment => ({
  id: provider.name,
  provider,
  model,
  weight: 1,
  prefill,
})

/** A conversation with one question and one answer in it. */
async function newConversation({ base }: Table, headers: Record<string, string>): Promise<string> {
  const body = JSON.stringify({ message: 'hello', model: WELL, stream: false })
  const response = await fetch(`${base}/v1/chat/completions`, { method: 'POST', headers, body })
  return ((await response.json()) as { conversation_id: string }).conversation_id
}

interface Reached {
  table: Table
  headers: Record<string, string>
}

/** The last message of a conversation, once it is written. */
async function storedIn(id: string, { table, headers }: Reached): Promise<Kept> {
  for (let time = 0; ; time++) {
    const response = await fetch(`${table.base}/v1/conversations/${id}/messages`, { headers })
    const { data } = (await response.json()) as { data?: { items: Kept[] } }
    const { content = '', status = `HTTP ${response.status}` } = data?.items.at(-1) ?? {}
    // A client that was told early that it broke off is ahead of the answer that goes on without it.
    if (status !== 'streaming' || time === 20) return { content, status }
    await Bun.sleep(100)
  }
}

async function conversationsOf({ base, tokens }: Table): Promise<number> {
  const response = await fetch(`${base}/v1/conversations`, { headers: { authorization: `Bearer ${tokens.stateless}` } })
  const { data } = (await response.json()) as { data: { pagination: { total: number } } }
  return data.pagination.total
}

function leaks(said: string, { provider, deadPort }: Table): string[] {
  const secrets = [KEYS.first, KEYS.second, UPSTREAM_SECRET, '127.0.0.1', '10.0.0.7', '<html', 'src/']
  const ports = [deadPort, new URL(provider.url('anthropic')).port].map((port) => `:${port}`)
  return [...secrets, ...ports].filter((secret) => said.includes(secret)).map((secret) => `it is told ${secret}`)
}

function wrongWait(header: string | null, { retryAfter = 0 }: Fault): string[] {
  const seconds = Number(header)
  return seconds >= retryAfter - 5 && seconds <= retryAfter ? [] : [`Retry-After is ${header}, not ${retryAfter}`]
}

const differences = (found: object, expected: object): string[] =>
  Object.entries(expected).flatMap(([key, value]) => {
    const [is, must] = [(found as Record<string, unknown>)[key], value].map((side) => JSON.stringify(side))
    return is === must ? [] : [`${key} is ${is?.slice(0, 200)}, not ${must}`]
  })
