/**
 * `bun run chaos --minutes 2 [--clients 200] [--seed 7] [--through-proxies]`: people who chat with three servers behind nginx
 * while servers and Redis are killed, at random; then a look at whether anything was lost, doubled, mixed up or not paid for.
 * With `--rates`: how exactly three servers keep to one limit, instead. Starts all it needs, ends all it started, and ends with code 1 when something was found.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type Choice, randomFrom } from '../store/bank-history'
import { endChildren } from '../support/child'
import { installIfMissing } from '../support/install'
import { startPostgres } from '../support/servers'
import { Monkey } from './faults'
import { accountOf } from './marks'
import { Person } from './person'
import { runRates } from './rates-run'
import { verdict } from './verdict'
import { openWorld, SECRET, type World } from './world'

export interface ChaosOptions {
  seed: number
  seconds: number
  clients: number
  throughProxies?: boolean
  /** Milliseconds between two deeds, on average. */
  every?: number
  /** Ends it before its time. */
  signal?: AbortSignal
}

export interface ChaosReport {
  seed: number
  turns: number
  /** Answers that came to their end, by how they are stored for their clients. */
  completed: number
  stopped: number
  broken: Record<string, number>
  /** Streams that were begun over SSE and over sockets. */
  sse: number
  sockets: number
  /** Streams that were taken up again, and texts that were dropped and told anew. */
  resumes: number
  restarts: number
  /** What was done to the installation. */
  deeds: Record<string, number>
  /** Requests that were refused, by status. */
  refused: Record<string, number>
  /** How often credit was set aside for who is busy. */
  quotas: number
  /** Whether one of the servers had a clock five seconds ahead. */
  skewed: boolean
  seconds: number
  faults: string[]
}

/** Milliseconds that answers may take to come to their ends when nothing is broken any more. */
const QUIET = 90_000

/** @param options the Postgres of TEST_DATABASE_URL is used. */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const begun = performance.now()
  const world = await openWorld({ throughProxies: options.throughProxies })
  try {
    const random = randomFrom(options.seed)
    const over = new AbortController()
    const people = peopleOf(world, options, { random, signal: over.signal })
    const monkey = new Monkey(world, random)
    const end = Date.now() + options.seconds * 1000
    const goesOn = () => Date.now() < end && !options.signal?.aborted
    const lives = Promise.all(people.map((person) => person.live(goesOn)))
    await monkey.rage(goesOn, options.every ?? 3000)
    await monkey.rest()
    await Promise.race([lives, Bun.sleep(QUIET)])
    over.abort()
    // Who hangs in spite of that has not heard the end of an answer, and is found by that.
    await Promise.race([lives, Bun.sleep(5000)])
    const faults = [
      ...monkey.faults,
      ...(await verdict(
        world,
        people.flatMap(({ turns }) => turns),
      )),
    ]
    return {
      ...summary(people, monkey),
      seed: options.seed,
      quotas: await quotasIn(world),
      skewed: world.skewed,
      seconds: secondsSince(begun),
      faults,
    }
  } finally {
    await world.close()
  }
}

async function quotasIn({ pool }: World): Promise<number> {
  const { rows } = await pool.query<{ n: number }>('select count(*)::int as n from reservations where usage is null')
  return rows[0]?.n ?? 0
}

const secondsSince = (begun: number) => Math.round((performance.now() - begun) / 1000)

function peopleOf(
  { url, thin }: World,
  options: ChaosOptions,
  { random, signal }: { random: Choice; signal: AbortSignal },
) {
  const subjects = Array.from({ length: options.clients }, () => crypto.randomUUID())
  return Array.from({ length: options.clients }, (_, client) => {
    // One in forty reads over a thin line.
    const slow = client % 40 === 7
    const base = slow ? thin.through(url) : url
    return new Person({
      client,
      subject: subjects[accountOf(client)] ?? '',
      base,
      secret: SECRET,
      random: randomFrom(random(2 ** 31)),
      slow,
      signal,
    })
  })
}

function summary(people: Person[], { done }: Monkey) {
  const turns = people.flatMap((person) => person.turns)
  const finished = (...words: string[]) =>
    turns.filter(({ ended }) => ended && 'finish' in ended && words.includes(ended.finish)).length
  const broken = new Map<string, number>()
  for (const { ended } of turns) {
    if (ended && 'error' in ended) broken.set(ended.error, (broken.get(ended.error) ?? 0) + 1)
  }
  const refused: Record<string, number> = {}
  for (const person of people) {
    for (const [status, count] of person.refused) refused[status] = (refused[status] ?? 0) + count
  }
  return {
    turns: turns.length,
    completed: finished('stop'),
    stopped: finished('stopped'),
    broken: Object.fromEntries(broken),
    sse: people.reduce((sum, { streams }) => sum + streams.sse, 0),
    sockets: people.reduce((sum, { streams }) => sum + streams.sockets, 0),
    resumes: turns.reduce((sum, { resumes }) => sum + resumes, 0),
    restarts: turns.reduce((sum, { restarts }) => sum + restarts, 0),
    deeds: Object.fromEntries(done),
    refused,
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '2' },
      clients: { type: 'string', default: '200' },
      seed: { type: 'string' },
      'through-proxies': { type: 'boolean', default: false },
      rates: { type: 'boolean', default: false },
    },
  })
  installIfMissing('postgresql', 'redis-server', 'nginx')
  const scratch = mkdtempSync(join(tmpdir(), 'orchestrator-chaos-postgres-'))
  const postgres = await startPostgres(scratch)
  process.env.TEST_DATABASE_URL = postgres.url
  let sound = false
  const interrupted = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => interrupted.abort())
  try {
    const { faults, ...report } = values.rates
      ? await runRates()
      : await runChaos({
          seed: Number(values.seed ?? Math.floor(Math.random() * 2 ** 31)),
          seconds: Number(values.minutes) * 60,
          clients: Number(values.clients),
          throughProxies: values['through-proxies'],
          signal: interrupted.signal,
        })
    for (const fault of faults) process.stdout.write(`${fault}\n`)
    sound = faults.length === 0
    process.stdout.write(`${sound ? 'clean' : `BROKEN (${faults.length})`} ${JSON.stringify(report)}\n`)
  } finally {
    await endChildren()
    await postgres.stop()
    rmSync(scratch, { recursive: true, force: true })
  }
  process.exit(sound ? 0 : 1)
}

if (import.meta.main) await main()
