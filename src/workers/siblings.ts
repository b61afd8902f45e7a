import type { FromWorker, ToWorker } from './messages'

/** Milliseconds after which a worker says only what it has counted itself. */
const PATIENCE = 2000

export interface SiblingsOptions {
  send: (message: FromWorker) => void
  /** What this worker has counted. */
  count: () => Promise<object[]>
}

/** The other workers on the same port, as one of them knows them: through the supervisor. */
export class Siblings {
  private readonly asked = new Map<number, (metrics: object[][]) => void>()
  private asks = 0

  constructor(private readonly options: SiblingsOptions) {}

  /** What the others have counted. */
  async metrics(): Promise<object[][]> {
    const id = ++this.asks
    const { promise, resolve } = Promise.withResolvers<object[][]>()
    this.asked.set(id, resolve)
    const timer = setTimeout(() => resolve([]), PATIENCE)
    this.options.send({ kind: 'ask', id })
    try {
      return await promise
    } finally {
      clearTimeout(timer)
      this.asked.delete(id)
    }
  }

  async hear(message: ToWorker): Promise<void> {
    if (message.kind === 'answer') this.asked.get(message.id)?.(message.metrics)
    else this.options.send({ kind: 'told', id: message.id, metrics: await this.options.count() })
  }
}
