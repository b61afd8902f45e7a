import type { Bus } from '../../bus/port'
import type { Run, Store } from '../../store/port'

/** Milliseconds that whoever stops an answer of another server waits for its end, and between two looks (at first). */
const PATIENCE = 5000
const LOOK_EVERY = 30

export interface StopsDeps {
  store: Pick<Store, 'runs'>
  bus: Bus
  instanceId: string
  now: () => Date
}

const topicOf = (instanceId: string) => `instance:${instanceId}`

/**
 * Stops answers that other processes make. The wish is written to the run, where whoever makes it finds it within a second; a
 * message on the bus only makes that faster.
 */
export class Stops {
  constructor(private readonly deps: StopsDeps) {}

  /** @param stop called with runs of this process that somebody elsewhere wants to end. @returns ends it */
  listen(stop: (ids: string[]) => void): () => void {
    return this.deps.bus.subscribe(topicOf(this.deps.instanceId), (message) => stop(idsIn(message)))
  }

  /** Asks for an end, and waits for it, but not for ever: its process may have died. */
  async stop(ids: string[]): Promise<void> {
    const { store, bus, now } = this.deps
    const asked = await store.runs.requestStop(ids, now())
    for (const [instanceId, theirs] of Map.groupBy(asked, ({ instanceId }) => instanceId)) {
      bus.publish(topicOf(instanceId), JSON.stringify({ stop: theirs.map(({ id }) => id) }))
    }
    await this.ended(asked.map(({ id }) => id))
  }

  async stopIn(
    conversationIds: string[],
    wanted: (run: Pick<Run, 'branchId' | 'messageId'>) => boolean,
  ): Promise<void> {
    const { store, instanceId } = this.deps
    const there = await store.runs.elsewhere(conversationIds, instanceId)
    const ids = there.filter(wanted).map(({ id }) => id)
    if (ids.length > 0) await this.stop(ids)
  }

  private async ended(ids: string[]): Promise<void> {
    const until = performance.now() + PATIENCE
    let left = ids
    for (let pause = LOOK_EVERY; left.length > 0 && performance.now() < until; pause = Math.min(500, pause * 1.5)) {
      await Bun.sleep(pause)
      const found = await this.deps.store.runs.look(left)
      left = found.filter(({ status }) => status === 'running').map(({ id }) => id)
    }
  }
}

/** What is not a message of ours asks for nothing. */
function idsIn(message: string): string[] {
  try {
    const { stop } = JSON.parse(message) as { stop?: unknown }
    return Array.isArray(stop) ? stop.filter((id) => typeof id === 'string') : []
  } catch {
    return []
  }
}
