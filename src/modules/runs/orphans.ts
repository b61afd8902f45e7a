import type { Orphan, Store } from '../../store/port'
import type { StartRun } from './live'

/** Seconds without a heartbeat after which a process counts as dead. */
export const DEAD_AFTER = 10
/**
 * Seconds more until it is closed where others may go on with it: all of them have looked by then. The same look would close a run
 * whose process fell silent behind its claim, and a process without room would close what others have room for.
 */
const CLAIMED_WITHIN = 6
/** Milliseconds after which a run that was begun here, and is not made here, counts as lost. */
const LOST_AFTER = 30_000

/** Who can make an answer again that another process began. */
export interface Heir {
  /** How many more answers can be made here. */
  room: () => number
  /** @throws whatever is in the way: then the run is closed with what was kept of it. */
  goOn: (orphan: Orphan) => Promise<StartRun>
}

export interface OrphansDeps {
  store: Pick<Store, 'runs'>
  instanceId: string
  /** Whether such answers are made again; otherwise they are closed with what was kept of them. */
  continues: boolean
  now: () => Date
  onFault: (message: string, error: unknown) => void
  start: (run: StartRun) => void
}

/** Sees to answers whose process died. */
export class Orphans {
  private heir: Heir | undefined
  /** Those that are about to be made here. */
  private readonly claimed = new Set<string>()

  constructor(private readonly deps: OrphansDeps) {}

  /** Before this, nothing is gone on with. */
  use(heir: Heir): void {
    this.heir = heir
  }

  /** @param making the runs that this process makes, or has yet to store. @param closing whether it begins no more. */
  async look(making: string[], closing: boolean): Promise<void> {
    const { store, instanceId, continues, now } = this.deps
    // Others can go on with them.
    if (continues && (closing || !this.heir)) return
    if (continues && this.heir) await this.claim(this.heir)
    const before = new Date(now().getTime() - LOST_AFTER)
    await store.runs.interruptOrphans(continues ? DEAD_AFTER + CLAIMED_WITHIN : DEAD_AFTER, now(), {
      instanceId,
      making: [...making, ...this.claimed],
      before,
    })
  }

  private async claim(heir: Heir): Promise<void> {
    const { store, instanceId } = this.deps
    const most = heir.room()
    if (most < 1) return
    const orphans = await store.runs.claimOrphans({ instanceId, silentSeconds: DEAD_AFTER, most })
    for (const orphan of orphans) {
      this.claimed.add(orphan.id)
      void this.goOn(orphan, heir).finally(() => this.claimed.delete(orphan.id))
    }
  }

  /** Never throws. */
  private async goOn(orphan: Orphan, heir: Heir): Promise<void> {
    const { store, instanceId, now, onFault, start } = this.deps
    try {
      start(await heir.goOn(orphan))
    } catch (error) {
      onFault('An answer of a process that died could not be made again', error)
      // What cannot be closed now is closed later: it counts as lost.
      await store.runs.giveUp(orphan.id, instanceId, now()).catch(() => {})
    }
  }
}
