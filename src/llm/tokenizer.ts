import { estimateTokens } from '../lib/token-estimate'

/** Milliseconds without work after which the memory is given back. */
const IDLE = 60_000
/** Milliseconds that counting may take. */
const LATE = 30_000

type Waiting = (counts: number[]) => void

/**
 * Counts tokens as OpenAI's models since GPT-4o do (o200k). In a worker of its own, begun when it is needed and ended when
 * it is not: the vocabulary is 75 MB of memory and half a second of work, in which no stream would move.
 */
export class Tokenizer {
  private worker: Worker | undefined
  private idle: ReturnType<typeof setTimeout> | undefined
  private readonly waiting = new Map<number, Waiting>()
  private last = 0

  /** How many tokens each text has. Never rejects: what cannot be counted is estimated by its length. */
  async count(texts: string[]): Promise<number[]> {
    clearTimeout(this.idle)
    const late = Promise.withResolvers<undefined>()
    const timer = setTimeout(() => late.resolve(undefined), LATE)
    const id = ++this.last
    try {
      const counted = Promise.withResolvers<number[] | undefined>()
      this.waiting.set(id, counted.resolve)
      this.open(() => counted.resolve(undefined)).postMessage({ id, texts })
      return (await Promise.race([counted.promise, late.promise])) ?? texts.map(estimateTokens)
    } catch {
      return texts.map(estimateTokens)
    } finally {
      clearTimeout(timer)
      this.waiting.delete(id)
      if (this.waiting.size === 0) this.rest()
    }
  }

  close(): void {
    clearTimeout(this.idle)
    this.worker?.terminate()
    this.worker = undefined
  }

  private open(onFailure: () => void): Worker {
    const worker = this.worker ?? new Worker(new URL('tokenizer-worker.ts', import.meta.url))
    this.worker = worker
    // Web types do not know it: counting shall not keep a process alive that is to end.
    ;(worker as Worker & { unref(): void }).unref()
    worker.onmessage = ({ data: { id, counts } }: MessageEvent<{ id: number; counts: number[] }>) =>
      this.waiting.get(id)?.(counts)
    worker.addEventListener('error', () => {
      this.close()
      onFailure()
    })
    return worker
  }

  private rest(): void {
    this.idle = setTimeout(() => this.close(), IDLE)
    this.idle.unref()
  }
}
