import { AppError } from '../../errors'
import type { RunBatch, RunEvent } from '../../runs/port'
import type { Answer } from '../chat/service'
import type { Outgoing } from './outgoing'

/** Frames of one answer, as text. */
export interface RunFrames {
  event: (event: RunEvent, seq: number) => string
  /** Says that what the reader has is void. */
  restart: () => string
}

/** @param id what the client calls its request. */
export type Encoder = (run: Answer['run'], id: string | null) => RunFrames

export interface ToTell {
  run: Answer['run']
  events: AsyncIterableIterator<RunBatch>
  /** The reader must drop what it has. */
  restart: boolean
  replayed: boolean
}

/** The answers that one connection reads. */
export class Streams {
  /** Those that are being read, or asked for. */
  private readonly taken = new Set<symbol>()
  private readonly names = new Set<string>()
  private readonly reading = new Map<symbol, AsyncIterableIterator<RunBatch>>()

  constructor(
    private readonly out: Outgoing,
    private readonly encoder: Encoder,
    private readonly max: number,
  ) {}

  get size(): number {
    return this.taken.size
  }

  /**
   * Finds an answer with `find`, then tells it to its end or until the connection is gone; that the answer goes on is not the
   * connection's business.
   */
  async tell(id: string | null, find: () => Promise<ToTell>): Promise<void> {
    const place = this.place(id)
    try {
      const found = await find()
      this.reading.set(place, found.events)
      if (this.out.closed) await found.events.return?.()
      else await this.pump(found, id)
    } finally {
      this.taken.delete(place)
      this.reading.delete(place)
      if (id !== null) this.names.delete(id)
    }
  }

  /** The connection is gone. */
  end(): void {
    for (const events of this.reading.values()) void events.return?.()
  }

  private place(id: string | null): symbol {
    if (id !== null && this.names.has(id))
      throw new AppError('CONFLICT', 'A request with this id is still being answered')
    if (this.taken.size >= this.max) {
      const message = `This connection reads ${this.max} answers already. Wait for one, or open another connection`
      throw new AppError('RATE_LIMIT_EXCEEDED', message, { retryAfter: 1 })
    }
    const place = Symbol('stream')
    this.taken.add(place)
    if (id !== null) this.names.add(id)
    return place
  }

  private async pump({ run, events, restart, replayed }: ToTell, id: string | null): Promise<void> {
    const { out } = this
    const frames = this.encoder(run, id)
    if (restart) out.send(frames.restart())
    for await (const { seq, events: batch } of events) {
      for (const [i, event] of batch.entries()) {
        if (!out.hasRoom) await out.room()
        if (out.closed) return
        out.send(frames.event(event, seq + i))
      }
    }
    out.send(JSON.stringify({ type: 'done', id, run_id: run.id, ...(replayed ? { replayed } : {}) }))
  }
}
