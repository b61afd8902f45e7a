import { AppError, errorBody, toAppError } from '../../errors'
import { retry } from '../../lib/retry'
import type { RunBatch, RunLog } from '../../runs/port'
import type { FinishTurn, Owner, Run, Store } from '../../store/port'
import { isBill, type LiveRun, pieceOf, type StartRun, take } from './live'
import { restarting, toEnded, toFinish } from './outcome'
import { endFields, noEvents, startFields, storedEvents } from './stored'

/** Milliseconds between two looks at what running answers have said and at processes that died. */
const CHECKPOINT_EVERY = 1000
const REAP_EVERY = 3000
/** Milliseconds between two tries to store answers that could not be stored, and how many of these are kept. */
const STORE_EVERY = 1000
const UNSTORED = 1000
/** Seconds without a heartbeat after which a process counts as dead. */
const DEAD_AFTER = 10

export interface RunsDeps {
  store: Pick<Store, 'turns' | 'runs' | 'conversations' | 'usage' | 'kind'>
  log: RunLog
  instanceId: string
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
  private closing = false

  constructor(private readonly deps: RunsDeps) {}

  /** Announces this process and tidies up after dead ones. Call before the first run. */
  async open(): Promise<void> {
    const { store, instanceId, now } = this.deps
    // An embedded database has one process at a time: whatever it says is running belongs to a dead one.
    await store.runs.interruptOrphans(store.kind === 'pglite' ? 0 : DEAD_AFTER, now())
    await store.runs.heartbeat(instanceId)
    this.every(CHECKPOINT_EVERY, 'keep what answers have said', () => this.checkpoint())
    this.every(STORE_EVERY, 'store answers', () => this.storeLate())
    this.every(REAP_EVERY, 'look after dead processes', () => this.reap())
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
    const writer = this.deps.log.create(run.id)
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
      kept: 0,
      characters: 0,
      begun: performance.now(),
      ended: Promise.resolve(),
    }
    this.live.set(run.id, live)
    writer.append({ type: 'start', fields: { ...startFields(run), ...run.fields } })
    live.ended = this.make(live)
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
   * The events after `after`. When they are not kept any more, the stored answer in one piece; `restart` then says
   * that the reader must drop what it has. So it is for numbers beyond the end: their events died with a process that
   * had not kept them yet, and the reader has not seen how the answer ended.
   */
  async read(owner: Owner, id: string, after: number) {
    const run = await this.find(owner, id)
    const beyond = run.status !== 'running' && after > run.lastSeq
    const events = this.deps.log.read(id, beyond ? 0 : after)
    if (events) return { run, events, restart: beyond }
    if (run.status === 'running') {
      const message = 'This answer is being written by another server. Read the message when it is done'
      throw new AppError('CONFLICT', message, { retryAfter: 1 })
    }
    // An interrupted answer was numbered anew when it was closed: the same number may have been another event.
    if (after === run.lastSeq && run.status !== 'interrupted') return { run, events: noEvents(), restart: false }
    const { conversations, usage } = this.deps.store
    const message = run.messageId && (await conversations.findMessage(owner, run.messageId))
    if (!message) throw new AppError('NOT_FOUND', 'There is no such run')
    const record = await usage.ofAnswer(owner, { conversationId: run.conversationId, messageId: message.id })
    return { run, events: storedEvents({ run, message, record }), restart: after > 0 }
  }

  /** Stops a run; what was delivered is kept. Stopping twice, or too late, changes nothing. */
  async stop(owner: Owner, id: string): Promise<Run> {
    const run = await this.find(owner, id)
    const live = this.live.get(id)
    if (live) await this.end(live, 'user')
    else if (run.status === 'running') {
      throw new AppError('CONFLICT', 'This answer is being written by another server')
    }
    return this.find(owner, id)
  }

  /** Stops what is being written in a conversation, or what `wanted` picks of it, e.g. because it is about to be deleted. */
  async stopIn(conversationId: string, wanted: (run: Pick<Run, 'branchId' | 'messageId'>) => boolean = () => true) {
    const inside = [...this.live.values()].filter((run) => run.conversationId === conversationId && wanted(run))
    await Promise.all(inside.map((run) => this.end(run, 'user')))
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
    await Promise.all(this.background.values())
    await this.deps.store.runs.leave(this.deps.instanceId)
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
  private async finish({ id, writer, outcome, requestId, begun }: LiveRun): Promise<void> {
    if (outcome.stopped) writer.truncate(Math.max(1, writer.delivered))
    let ended = toEnded(outcome, requestId)
    const latencyMs = Math.round(performance.now() - begun)
    const turn = toFinish(outcome, ended, { runId: id, events: writer.events(0), latencyMs, at: this.deps.now() })
    try {
      const kept = await retry(() => this.deps.store.turns.finish(turn), { attempts: 6, baseMs: 100 })
      ended.fields = endFields(turn.answer.extra, kept)
    } catch (error) {
      this.deps.onFault('An answer could not be stored yet', error)
      if (this.unstored.size < UNSTORED) this.unstored.set(id, turn)
      ended = { type: 'error', error: errorBody(toAppError(error), requestId) }
    }
    writer.append(ended)
  }

  private async checkpoint(): Promise<void> {
    const grown = [...this.live.values()].filter((run) => run.writer.seq > run.kept)
    const pieces = grown.map(pieceOf)
    await this.deps.store.turns.checkpoint(pieces)
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
    const { store, instanceId, now } = this.deps
    await store.runs.heartbeat(instanceId)
    if (store.kind === 'postgres') await store.runs.interruptOrphans(DEAD_AFTER, now())
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
