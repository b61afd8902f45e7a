import { AppError, errorBody, toAppError } from '../../errors'
import { logOf } from '../../lib/run-parts'
import type { RunBatch, RunLog } from '../../runs/port'
import type { Owner, Run, Store } from '../../store/port'
import { Follower } from './follow'
import { noEvents, type Stored, storedAfter, storedEvents } from './stored'
import { Watch } from './watch'

/** A run to be read. `restart`: the reader must drop what it has. */
export interface Read {
  run: Run
  events: AsyncIterableIterator<RunBatch>
  restart: boolean
}

/** Finds the events of a run, or what is left of them. */
export class Readings {
  /** Who waits here for what other processes make. */
  readonly watch = new Watch()

  constructor(
    private readonly store: Pick<Store, 'runs' | 'conversations' | 'usage'>,
    private readonly log: RunLog,
  ) {}

  /**
   * The events after `after`. When they are not kept any more, the stored answer in one piece, behind a restart.
   * @param last the number of the last event there is. For numbers beyond it the answer begins anew, too: their events died
   *   with a process that had not kept them yet, and the reader has not seen how the answer ended.
   */
  async read(owner: Owner, run: Run, { after, last }: { after: number; last: number }): Promise<Read> {
    const running = run.status === 'running'
    const restart = after > last && !running
    const from = restart ? 0 : after
    // Of an answer that goes on, nobody knows yet whether it gets so far.
    const here = running && after > last ? undefined : this.log.read(logOf(run), from)
    if (here) return { run, events: here, restart }
    if (running) return { run, events: this.follow(owner, run, from), restart }
    // An interrupted answer was numbered anew when it was closed: the same number may have been another event.
    if (after === run.lastSeq && run.status !== 'interrupted') return { run, events: noEvents(), restart: false }
    const end = await this.log.shared?.end(logOf(run)).catch(() => undefined)
    if (end === run.lastSeq) return { run, events: this.follow(owner, run, from), restart }
    const stored = await this.stored(owner, run)
    if (!stored) throw new AppError('NOT_FOUND', 'There is no such run')
    return { run, events: storedEvents(stored), restart: after > 0 }
  }

  private follow(owner: Owner, run: Run, after: number): Follower {
    const stored = (at: number) => this.instead(owner, run.id, at)
    const continued = async () => (await this.store.runs.find(owner, run.id))?.continued ?? 0
    return new Follower({ log: this.log, watch: this.watch, run, after, continued, stored })
  }

  /** For a reader in the middle who gets no more events. Never fails: by then the stream is open. */
  private async instead(owner: Owner, runId: string, at: number): Promise<RunBatch[]> {
    try {
      const run = await this.store.runs.find(owner, runId)
      const stored = run && (await this.stored(owner, run))
      if (stored) return storedAfter(at, stored)
      throw new AppError('NOT_FOUND', 'This answer was deleted while it was being written')
    } catch (error) {
      return [{ seq: at + 1, events: [{ type: 'error', error: errorBody(toAppError(error), null) }] }]
    }
  }

  private async stored(owner: Owner, run: Run): Promise<Stored | undefined> {
    const { conversations, usage } = this.store
    const message = run.messageId && (await conversations.findMessage(owner, run.messageId))
    if (!message) return undefined
    const record = await usage.ofAnswer(owner, { conversationId: run.conversationId, messageId: message.id })
    return { run, message, record }
  }
}
