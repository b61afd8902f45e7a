import type { ClaimedEvent, OutboxEvent, OutboxStore } from '../../src/store/port-money'

interface Kept extends ClaimedEvent {
  due: number
  error: string | null
}

/** An outbox that can be looked into. */
export class MemoryOutbox implements OutboxStore {
  readonly kept = new Map<string, Kept>()
  /** The limits that were asked for. */
  readonly limits: number[] = []

  add(...events: OutboxEvent[]): void {
    for (const event of events) {
      this.kept.set(event.id, { ...event, attempts: 0, due: event.createdAt.getTime(), error: null })
    }
  }

  async claim(now: Date, { leaseSeconds, limit }: { leaseSeconds: number; limit: number }) {
    this.limits.push(limit)
    const due = [...this.kept.values()].filter((event) => event.due <= now.getTime())
    const taken = due.sort((a, b) => a.createdAt.getTime() - b.createdAt.getTime()).slice(0, limit)
    for (const event of taken) event.due = now.getTime() + leaseSeconds * 1000
    return taken.map(({ due: _, error: __, ...event }) => event)
  }

  async done(ids: string[]) {
    for (const id of ids) this.kept.delete(id)
  }

  async failed(id: string, next: Date, error: string) {
    const event = this.kept.get(id)
    if (event) Object.assign(event, { due: next.getTime(), error, attempts: event.attempts + 1 })
  }

  async waiting() {
    const times = [...this.kept.values()].map(({ createdAt }) => createdAt.getTime())
    return { count: times.length, oldest: times.length > 0 ? new Date(Math.min(...times)) : null }
  }
}
