/**
 * What stands between a client and whoever answers: routing, failover, translation. In this process and without the
 * server around it, whose share the other phases measure; the upstream is a process of its own.
 */
import { anthropicFrames } from '../../src/dialects/anthropic'
import { MessageFrames } from '../../src/llm/anthropic-reader'
import type { Timeouts } from '../../src/llm/deadlines'
import { openAiCompatible } from '../../src/llm/openai-compatible'
import type { RoutingObserver } from '../../src/llm/plan'
import type { ChatEvent, ChatModel, ChatRequest, Provider } from '../../src/llm/port'
import { Router } from '../../src/llm/router'
import type { Deployment, Strategy } from '../../src/llm/routes'
import { freePort } from '../lib/process'
import { Samples } from '../lib/samples'
import type { Context } from './context'

export interface ProvidersRow {
  readonly what: string
  readonly unit: 'ms' | 'µs'
  readonly p50: number
  readonly p99: number
  /** In the same unit; what p50 is compared with. */
  readonly atMost: number | undefined
}

/** Milliseconds a provider that hangs is given. */
const LIMIT = 100
const FAR: Timeouts = { connect: 10_000, firstToken: 10_000, idle: 10_000, total: 60_000 }
const REQUEST: ChatRequest = { model: 'bench:4x0', messages: [{ role: 'user', content: 'hi' }], params: {} }
const STRATEGIES: readonly Strategy[] = ['ordered', 'weighted', 'least-busy', 'fastest']

export async function providersPhase(context: Context): Promise<ProvidersRow[]> {
  context.say('providers')
  const rows: ProvidersRow[] = []
  const measured = (found: ProvidersRow[] | undefined) => rows.push(...(found ?? []))
  measured(await context.attempt('failover', 10, () => failover(context)))
  measured(await context.attempt('routing', 5, () => routing(context.plan.providers.requests)))
  measured(await context.attempt('translation', 5, () => translation(context.plan.providers.rounds)))
  return rows
}

/** To the first piece, beside the same answer without a failure; what the failure itself takes is no part of it. */
async function failover({ upstream, plan }: Context): Promise<ProvidersRow[]> {
  const { failovers } = plan.providers
  const silent = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data() {} } })
  const dead = `http://127.0.0.1:${freePort()}/v1`
  const provider = (name: string, baseUrl: string, timeouts = FAR) => openAiCompatible({ name, baseUrl, timeouts })
  const well = () => provider('well', `${upstream.origin}/v1`)
  // New ones for each request: a breaker would leave out those that fail.
  const hanging = () => provider('hanging', `http://127.0.0.1:${silent.port}/v1`, { ...FAR, connect: LIMIT })
  const samples = { refused: new Samples(), hang: new Samples() }
  try {
    for (let i = -3; i < failovers; i++) {
      const direct = await firstPiece(routed([well()]))
      const failure = await timed(() => fetch(dead, { method: 'POST', body: '{}' }).catch(() => {}))
      const refused = (await firstPiece(routed([provider('dead', dead), well()]))) - direct - failure
      const hung = (await firstPiece(routed([hanging(), well()]))) - direct - LIMIT
      if (i < 0) continue
      samples.refused.add(refused)
      samples.hang.add(hung)
    }
  } finally {
    silent.stop(true)
  }
  return [
    row('failover after a refused connection, beyond the refusal', samples.refused, { unit: 'ms', atMost: 20 }),
    row(`failover after a limit of ${LIMIT} ms, beyond the limit`, samples.hang, { unit: 'ms', atMost: 50 }),
  ]
}

/** To the first piece of a provider that answers at once, beside asking that provider without a router. */
async function routing(requests: number): Promise<ProvidersRow[]> {
  const rows: ProvidersRow[] = []
  for (const strategy of STRATEGIES) {
    const providers = Array.from({ length: 50 }, (_, i) => instant(`provider-${i}`))
    const route = routed(providers, strategy)
    const direct = { route: async (): Promise<ChatModel> => providers[0] as Provider }
    const samples = new Samples()
    for (let i = -requests / 4; i < requests; i++) {
      const without = await firstPiece(direct)
      const added = (await firstPiece(route)) - without
      if (i >= 0) samples.add(added * 1000)
    }
    rows.push(row(`routing among 50 deployments, ${strategy}`, samples, { unit: 'µs', atMost: 50 }))
  }
  return rows
}

/** A long answer read and written in Anthropic's words; per frame. */
async function translation(rounds: number): Promise<ProvidersRow[]> {
  const [from, to] = [new Samples(), new Samples()]
  const frames = 2000
  const deltas = Array.from({ length: frames }, (_, i) => ` word${i}`)
  const text = anthropicText(deltas)
  for (let i = -3; i < rounds; i++) {
    const reading = await timed(() => {
      const reader = new MessageFrames()
      let events = 0
      for (let at = 0; at < text.length; at += 4096) {
        reader.feed(text.slice(at, at + 4096))
        for (const event of reader.take()) events += Number(typeof event === 'string')
      }
      if (events !== frames) throw new Error(`read ${events} of ${frames} frames`)
    })
    const writing = await timed(async () => {
      const options = { header: { id: 'msg_1', model: 'bench' }, requestId: null }
      let bytes = 0
      for await (const written of anthropicFrames(events(deltas), options)) bytes += written.length
      if (bytes < frames) throw new Error('nothing was written')
    })
    if (i < 0) continue
    from.add((reading * 1000) / frames)
    to.add((writing * 1000) / frames)
  }
  return [
    row("a frame of Anthropic's, read", from, { unit: 'µs', atMost: 30 }),
    row("a frame of Anthropic's, written", to, { unit: 'µs', atMost: 30 }),
  ]
}

const row = (
  what: string,
  samples: Samples,
  { unit, atMost }: Pick<ProvidersRow, 'unit' | 'atMost'>,
): ProvidersRow => ({
  what,
  unit,
  p50: samples.summary().p50,
  p99: samples.summary().p99,
  atMost,
})

interface Routed {
  route: () => Promise<ChatModel>
}

function routed(providers: Provider[], strategy: Strategy = 'ordered'): Routed {
  const router = new Router({ providers: [], observer: NOBODY, totalMs: FAR.total })
  const [first, ...others] = providers.map(
    (provider): Deployment => ({ id: provider.name, provider, model: REQUEST.model, weight: 1, prefill: false }),
  )
  if (first) router.use([{ model: REQUEST.model, strategy, deployments: [first, ...others] }])
  return { route: () => router.route(REQUEST.model, { tenantId: 'bench', userId: 'bench', serverKey: true }) }
}

/** Milliseconds until somebody says something; the answer is read to its end. */
async function firstPiece({ route }: Routed): Promise<number> {
  const since = performance.now()
  let first: number | undefined
  for await (const event of (await route()).stream(REQUEST, new AbortController().signal)) {
    if (typeof event === 'string') first ??= performance.now() - since
  }
  if (first === undefined) throw new Error('an answer without a word')
  return first
}

async function timed(work: () => unknown): Promise<number> {
  const since = performance.now()
  await work()
  return performance.now() - since
}

async function* events(texts: readonly string[]): AsyncGenerator<ChatEvent> {
  yield* texts
  yield { type: 'finish', index: 0, reason: 'stop' }
}

const instant = (name: string): Provider => ({
  name,
  listsAll: false,
  personalKeys: false,
  cost: () => null,
  models: async () => [],
  stream: () => events(['hi']),
})

const NOBODY: RoutingObserver = {
  attempted() {},
  streamBegan() {},
  streamSpoke() {},
  streamEnded() {},
  failedOver() {},
}

function anthropicText(deltas: readonly string[]): string {
  const frame = (type: string, fields: object) => `event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`
  return [
    frame('message_start', { message: { id: 'm', model: 'bench', usage: { input_tokens: 1, output_tokens: 1 } } }),
    frame('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }),
    ...deltas.map((text) => frame('content_block_delta', { index: 0, delta: { type: 'text_delta', text } })),
    frame('content_block_stop', { index: 0 }),
    frame('message_delta', { delta: { stop_reason: 'end_turn' }, usage: { output_tokens: deltas.length } }),
    frame('message_stop', {}),
  ].join('')
}
