import type { RunLook, RunStatus } from '../../store/port'

/** How a run stands; `gone` with its conversation. */
export type Standing = RunStatus | 'gone'

/** @param continued see `Run`; undefined where that is not known. */
type Listener = (standing: Standing | undefined, continued: number | undefined) => void

/** Who waits here for runs of other processes, so that one look at the database does for all of them. */
export class Watch {
  private readonly waiting = new Map<string, Set<Listener>>()

  get ids(): string[] {
    return [...this.waiting.keys()]
  }

  /** @param listener called at every look, and without a standing when this process begins to make the run. */
  add(id: string, listener: Listener): () => void {
    const listeners = this.waiting.get(id) ?? new Set()
    this.waiting.set(id, listeners.add(listener))
    return () => {
      listeners.delete(listener)
      if (listeners.size === 0 && this.waiting.get(id) === listeners) this.waiting.delete(id)
    }
  }

  /** @param asked the runs that were looked for. */
  looked(asked: string[], found: Map<string, RunLook>): void {
    for (const id of asked) {
      const look = found.get(id)
      for (const listener of this.listeners(id)) listener(look?.status ?? 'gone', look?.continued)
    }
  }

  begun(id: string, continued: number): void {
    for (const listener of this.listeners(id)) listener(undefined, continued)
  }

  private listeners(id: string): Listener[] {
    return [...(this.waiting.get(id) ?? [])]
  }
}
