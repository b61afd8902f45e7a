import type { Bus } from '../../bus/port'
import { AppError, errorBody, toAppError } from '../../errors'
import { retry } from '../../lib/retry'
import { logOf } from '../../lib/run-parts'
import type { RunBatch, RunLog } from '../../runs/port'
import type { FinishTurn, Owner, Run, Store } from '../../store/port'
import { isBill, isVain, type LiveRun, pieceOf, type StartRun, take } from './live'
import { DEAD_AFTER, type Heir, Orphans } from './orphans'
import { restarting, toEnded, toFinish } from './outcome'
import { type Read, Readings } from './readings'
import { Stops } from './stops'
import { endFields, startFields, storedError } from './stored'

/** Milliseconds between two looks at what running answers have said and at processes that died. */
const CHECKPOINT_EVERY = 1000
const REAP_EVERY = 3000
/** Milliseconds between two looks at how runs stand that this process makes or waits for. */
const LOOK_EVERY = 1000
/** Milliseconds between two tries to store answers that could not be stored, and how many of these are kept. */
const STORE_EVERY = 1000
const UNSTORED = 1000

export interface RunsDeps {
  store: Pick<Store, 'turns' | 'runs' | 'conversations' | 'usage' | 'kind'>
  log: RunLog
  bus: Bus
  instanceId: string
  /** Whether answers of processes that died are made again. */
  continues: boolean
  now: () => Date
  /** Faults that have no request to answer: they are logged. */
  onFault: (message: string, error: unknown) => void
}

/** Makes answers, apart from any request, and lets requests read them. */
export class Runs {
  private readonly live = new Map<string, LiveRun>()
  /** Answers that have ended while the database was away. */
  private readonly unstored = new Map<string, FinishTurn>()
  private readonly timers: ReturnType<typeof setInterval>[] = []
  private readonly background = new Map<string, Promise<void>>()
  private readonly readings: Readings
  private readonly stops: Stops
  private readonly orphans: Orphans
  private deaf: (() => void) | undefined
  private closing = false

  constructor(private readonly deps: RunsDeps) {
    this.readings = new Readings(deps.store, deps.log)
    this.stops = new Stops(deps)
    this.orphans = new Orphans({ ...deps, start: (run) => this.start(run) })
  }

  /** Announces this process and tidies up after dead ones. Call before the first run. */
  async open(): Promise<void> {
    const { store, instanceId, continues, now } = this.deps
    // An embedded database has one process at a time: whatever it says is running belongs to a dead one.
    if (!continues) await store.runs.interruptOrphans(store.kind === 'pglite' ? 0 : DEAD_AFTER, now())
    await store.runs.heartbeat(instanceId)
    this.deaf = this.stops.listen((ids) => this.stopMine(ids))
    this.every(LOOK_EVERY, 'look how answers stand', () => this.look())
    this.every(CHECKPOINT_EVERY, 'keep what answers have said', () => this.checkpoint())
    this.every(STORE_EVERY, 'store answers', () => this.storeLate())
    this.every(REAP_EVERY, 'look after dead processes', () => this.reap())
  }

  /** Has answers made again whose processes died, if that is the policy. */
  inherit(heir: Heir): void {
    this.orphans.use(heir)
  }

  /** @throws AppError UPSTREAM_UNAVAILABLE while this process is about to stop. */
  admit(): void {
    if (!this.closing) return
    throw new AppError('UPSTREAM_UNAVAILABLE', 'This server is restarting. Try again in a moment', { retryAfter: 2 })
  }

  /** Runs being made by this process. */
  get active(): number {
    return this.live.size
  }

  /** Starts an answer whose rows exist. Returns at once; the answer is made whether anyone reads it or not. */
  start(run: StartRun): void {
    const continued = run.continued ?? 0
    const writer = this.deps.log.create(logOf({ id: run.id, continued }))
    writer.append({ type: 'start', fields: { ...startFields({ ...run, continued }), ...run.fields } })
    // Its readers have what the process before has said.
    if (continued > 0) writer.append({ type: 'restart' })
    const live: LiveRun = {
      ...run,
      writer,
      abort: new AbortController(),
      outcome: {
        finishReason: null,
        bill: null,
        servedBy: undefined,
        firstTokenMs: null,
        error: undefined,
        stopped: undefined,
      },
      opened: writer.seq,
      kept: 0,
      characters: 0,
      begun: performance.now(),
      ended: Promise.resolve(),
    }
    this.live.set(run.id, live)
    live.ended = this.make(live)
    this.readings.watch.begun(run.id, continued)
  }

  async find(owner: Owner, id: string): Promise<Run> {
    const run = await this.deps.store.runs.find(owner, id)
    if (!run) throw new AppError('NOT_FOUND', 'There is no such run')
    return run
  }

  list(owner: Owner, options: { active: boolean; page: number; limit: number }) {
    return this.deps.store.runs.list(owner, options)
  }

  /** The events of a run that has just been started by this process. */
  follow(runId: string): AsyncIterableIterator<RunBatch> {
    const events = this.deps.log.read(runId, 0)
    if (!events) throw new Error('A run was followed before it was started')
    return events
  }

  /**
   * The events after `after`, whoever makes them. When they are not kept any more, the stored answer in one piece; `restart` then
   * says that the reader must drop what it has. So it is for numbers beyond the end: their events died with a process that
   * had not kept them yet, and the reader has not seen how the answer ended.
   */
  async read(owner: Owner, id: string, after: number): Promise<Read> {
    const run = await this.find(owner, id)
    return this.readings.read(owner, run, { after, last: this.lastOf(run) })
  }

  /** Stops a run; what was delivered is kept. Stopping twice, or too late, changes nothing. */
  async stop(owner: Owner, id: string): Promise<Run> {
    const run = await this.find(owner, id)
    const live = this.live.get(run.id)
    if (live) await this.end(live, 'user')
    else if (run.status === 'running') await this.stops.stop([run.id])
    return this.find(owner, id)
  }

  /**
   * Stops what is being written in conversations, or what `wanted` picks of it, e.g. because it is about to be deleted. Whose they
   * are, the caller has made sure of.
   */
  async stopIn(
    conversations: string | string[],
    wanted: (run: Pick<Run, 'branchId' | 'messageId'>) => boolean = () => true,
  ): Promise<void> {
    const ids = new Set([conversations].flat().map((id) => id.toLowerCase()))
    const inside = [...this.live.values()].filter((run) => ids.has(run.conversationId) && wanted(run))
    const here = inside.map((run) => this.end(run, 'user'))
    await Promise.all([...here, this.stops.stopIn([...ids], wanted)])
  }

  /** Waits for running answers, at most `ms`; ends the rest as interrupted, with what they said. */
  async close(ms: number): Promise<void> {
    this.closing = true
    const until = performance.now() + ms
    const patience = new Promise((resolve) => setTimeout(resolve, ms).unref())
    await Promise.race([Promise.all([...this.live.values()].map((run) => run.ended)), patience])
    await Promise.all([...this.live.values()].map((run) => this.end(run, 'server')))
    while (this.unstored.size > 0 && performance.now() < until) await Bun.sleep(STORE_EVERY / 10)
    for (const timer of this.timers) clearInterval(timer)
    this.deaf?.()
    await Promise.all(this.background.values())
    await this.deps.store.runs.leave(this.deps.instanceId)
  }

  /** The number of the last event there is; of what others are writing nobody knows. */
  private lastOf(run: Run): number {
    const live = this.live.get(run.id)
    if (live) return live.writer.seq
    return run.status === 'running' ? Number.POSITIVE_INFINITY : run.lastSeq
  }

  /** One query for all that is made here and all that is waited for here; none when that is nothing. */
  private async look(): Promise<void> {
    const { watch } = this.readings
    const { ids } = watch
    const mine = [...this.live.keys()]
    if (ids.length + mine.length === 0) return
    const looks = await this.deps.store.runs.look([...new Set([...ids, ...mine])])
    const found = new Map(looks.map((look) => [look.id, look]))
    watch.looked(ids, found)
    this.stopMine(mine.filter((id) => found.get(id)?.stopRequested ?? true))
    // Others took this process for dead, and what they told is what was stored, or go on with it.
    for (const { id, status, instanceId = this.deps.instanceId } of looks)
      if (status !== 'running' || instanceId !== this.deps.instanceId) this.endLive(id, 'server')
  }

  private stopMine(ids: string[]): void {
    for (const id of ids) this.endLive(id, 'user')
  }

  private endLive(id: string, by: 'user' | 'server'): void {
    const live = this.live.get(id)
    if (live) void this.end(live, by)
  }

  private end(run: LiveRun, by: 'user' | 'server'): Promise<void> {
    run.outcome.stopped ??= by
    run.abort.abort(by === 'server' ? restarting() : undefined)
    return run.ended
  }

  /** Never throws. */
  private async make(run: LiveRun): Promise<void> {
    const { outcome } = run
    try {
      for await (const event of run.answerer.stream(run.request, run.abort.signal)) {
        // What comes after a stop is nobody's but the bill for what came before.
        if (!outcome.stopped || isBill(event)) take(run, event)
      }
    } catch (error) {
      if (!outcome.stopped) outcome.error = toAppError(error)
      if (outcome.error?.code === 'INTERNAL_ERROR') this.deps.onFault('An answer failed', error)
    }
    await this.finish(run)
    this.live.delete(run.id)
  }

  /** The database first, the terminal event second: a client that has seen the end finds it stored. */
  private async finish(run: LiveRun): Promise<void> {
    const { id, writer, outcome, requestId } = run
    if (outcome.stopped) writer.truncate(Math.max(run.opened, writer.delivered))
    if (isVain(run) && (await this.giveUp(run))) return
    let ended = toEnded(outcome, requestId)
    const turn = toFinish(run, ended, this.deps.now())
    if (this.deps.continues) turn.instanceId = this.deps.instanceId
    try {
      const kept = await retry(() => this.deps.store.turns.finish(turn), { attempts: 6, baseMs: 100 })
      if (kept.closed) ended = { type: 'error', error: errorBody(restarting(), requestId) }
      ended.fields = endFields(turn.answer.extra, kept)
    } catch (error) {
      this.deps.onFault('An answer could not be stored yet', error)
      if (this.unstored.size < UNSTORED) this.unstored.set(id, turn)
      ended = { type: 'error', error: errorBody(toAppError(error), requestId) }
    }
    writer.append(ended)
  }

  /** Made again in vain: what the process before had kept is what there is. @returns whether it was closed so. */
  private async giveUp({ id, writer }: LiveRun): Promise<boolean> {
    const { store, instanceId, now, onFault } = this.deps
    const kept = await store.runs.giveUp(id, instanceId, now()).catch((error) => {
      onFault('An answer could not be closed yet', error)
    })
    if (!kept) return false
    if (kept.text) writer.append(kept.text)
    writer.append(storedError(kept.error))
    return true
  }

  private async checkpoint(): Promise<void> {
    // What is made again keeps what the process before had said until there is something better.
    const grown = [...this.live.values()].filter((run) => run.writer.seq > Math.max(run.kept, run.opened))
    const pieces = grown.map(pieceOf)
    const { continues, instanceId, store } = this.deps
    await store.turns.checkpoint(pieces, continues ? instanceId : undefined)
    // Only now: what could not be written is written with the next piece.
    for (const [i, run] of grown.entries()) run.kept = pieces[i]?.seq ?? run.kept
  }

  /** Storing twice changes nothing, so it does no harm when the first time was not in vain. */
  private async storeLate(): Promise<void> {
    for (const [id, turn] of this.unstored) {
      await this.deps.store.turns.finish(turn)
      this.unstored.delete(id)
    }
  }

  private async reap(): Promise<void> {
    const { store, instanceId } = this.deps
    await store.runs.heartbeat(instanceId)
    if (store.kind !== 'postgres') return
    await this.orphans.look([...this.live.keys(), ...this.unstored.keys()], this.closing)
  }

  /**
   * Does something again and again. A turn that comes while the last one is still going is left out, so nothing piles up
   * behind a slow database; and no task waits for another, so that heavy checkpoints never cost us the heartbeat.
   */
  private every(ms: number, what: string, task: () => Promise<void>): void {
    const turn = () => {
      if (this.background.has(what)) return
      const work = task()
        .catch((error) => this.deps.onFault(`Could not ${what}`, error))
        .finally(() => this.background.delete(what))
      this.background.set(what, work)
    }
    this.timers.push(setInterval(turn, ms))
  }
}
