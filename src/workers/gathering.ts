import type { FromWorker, ToWorker } from './messages'

/** Milliseconds that workers have to say what they have counted. */
const PATIENCE = 1000

export interface Listener {
  send: (message: ToWorker) => void
}

/** Collects, for one worker, what the others have counted. */
export class Gathering {
  private readonly open = new Map<number, { wanted: Set<Listener>; got: object[][]; done: () => void }>()
  private count = 0

  /** @param others those that shall say. */
  begin(asker: Listener, askId: number, others: Listener[]): void {
    const id = ++this.count
    const done = () => {
      clearTimeout(timer)
      this.open.delete(id)
      asker.send({ kind: 'answer', id: askId, metrics: gathered.got })
    }
    const timer = setTimeout(done, PATIENCE)
    const gathered = { wanted: new Set(others), got: [] as object[][], done }
    this.open.set(id, gathered)
    for (const other of others) other.send({ kind: 'tell', id })
    if (others.length === 0) done()
  }

  told(from: Listener, { id, metrics }: Extract<FromWorker, { kind: 'told' }>): void {
    const gathered = this.open.get(id)
    if (!gathered?.wanted.delete(from)) return
    gathered.got.push(metrics)
    if (gathered.wanted.size === 0) gathered.done()
  }

  /** Nobody needs to wait for it any more. */
  gone(from: Listener): void {
    for (const { wanted, done } of [...this.open.values()]) if (wanted.delete(from) && wanted.size === 0) done()
  }
}
