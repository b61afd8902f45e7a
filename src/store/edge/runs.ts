import { LRUCache } from 'lru-cache'
import type { Owner, Run, RunLook, RunStore } from '../port'

/** Finished runs that can still be found, and for how many milliseconds. */
const KEEP = 10_000
const KEEP_MS = 3_600_000

type Known = Run & Pick<Owner, 'tenantId' | 'userId'>

/**
 * Runs of this process. The function knows messages only, so another instance, or this one after a restart, does not
 * know them; the messages are there all the same.
 */
export class EdgeRuns implements RunStore {
  private readonly running = new Map<string, Known>()
  private readonly finished = new LRUCache<string, Known>({ max: KEEP, ttl: KEEP_MS })

  add(run: Known): void {
    this.running.set(run.id, run)
  }

  finish(id: string, result: Partial<Run>): void {
    const run = this.running.get(id)
    if (!run) return
    this.running.delete(id)
    this.finished.set(id, { ...run, ...result })
  }

  /** Forgets the runs of a conversation that is gone. */
  forget(conversationId: string): void {
    for (const runs of [this.running, this.finished]) {
      for (const [id, run] of runs.entries()) if (run.conversationId === conversationId) runs.delete(id)
    }
  }

  async find({ tenantId, userId }: Owner, id: string): Promise<Run | undefined> {
    const run = this.running.get(id) ?? this.finished.get(id)
    return run?.userId === userId && run.tenantId === tenantId ? shown(run) : undefined
  }

  async ofMessages({ tenantId, userId }: Owner, conversationId: string, messageIds: string[]): Promise<Run[]> {
    const wanted = new Set<string | null>(messageIds)
    return [...this.running.values(), ...this.finished.values()]
      .filter((run) => run.conversationId === conversationId && wanted.has(run.messageId))
      .filter((run) => run.userId === userId && run.tenantId === tenantId)
      .map(shown)
  }

  async list(owner: Owner, { active, page, limit }: { active: boolean; page: number; limit: number }) {
    const all = [...this.running.values(), ...(active ? [] : this.finished.values())]
      .filter(({ userId, tenantId }) => userId === owner.userId && tenantId === owner.tenantId)
      .sort((a, b) => (a.id < b.id ? 1 : -1))
    return { items: all.slice((page - 1) * limit, page * limit).map(shown), total: all.length }
  }

  // Each process knows its own runs only, so there is nobody to tell that it lives and nothing to tidy up after others.
  async heartbeat(): Promise<void> {}
  async leave(): Promise<void> {}
  async interruptOrphans(): Promise<number> {
    return 0
  }
  async claimOrphans() {
    return []
  }
  async giveUp() {
    return undefined
  }
  async elsewhere() {
    return []
  }
  async requestStop() {
    return []
  }

  async look(ids: string[]): Promise<RunLook[]> {
    const known = ids.map((id) => this.running.get(id) ?? this.finished.get(id))
    return known.flatMap((run) => (run ? [{ id: run.id, status: run.status, stopRequested: false, continued: 0 }] : []))
  }
}

const shown = ({ tenantId, userId, ...run }: Known): Run => run
