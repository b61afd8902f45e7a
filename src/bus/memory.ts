import type { Bus } from './port'

/** The bus of a server that is alone. */
export class MemoryBus implements Bus {
  private readonly topics = new Map<string, Set<(message: string) => void>>()

  publish(topic: string, message: string): void {
    for (const listener of this.topics.get(topic) ?? []) listener(message)
  }

  subscribe(topic: string, listener: (message: string) => void): () => void {
    const listeners = this.topics.get(topic) ?? new Set()
    this.topics.set(topic, listeners.add(listener))
    return () => {
      listeners.delete(listener)
      if (listeners.size === 0 && this.topics.get(topic) === listeners) this.topics.delete(topic)
    }
  }

  async close(): Promise<void> {
    this.topics.clear()
  }
}
