import type Redis from 'ioredis'
import type { Bus } from '../bus/port'
import { gapOf, numberAt, placeAfter } from '../lib/run-parts'
import { type Appended, Appender } from './appender'
import { ENTRIES_AT_ONCE, fromEntries, streamOf } from './entries'
import { MemoryRunLog, type MemoryRunLogOptions } from './memory'
import type { RunBatch, RunEvent, RunLog, RunWriter, SharedEvents } from './port'
import { isTerminal } from './terminal'

export interface RedisRunLogOptions extends MemoryRunLogOptions {
  /** Must fail fast while Redis is away. Whoever opened it closes it. */
  redis: Redis
  /** Wakes readers in other processes. */
  bus: Bus
  tickMs?: number
  maxEntries?: number
}

const topicOf = (runId: string) => `run:${runId}:more`

/**
 * The run log of several servers. The process that makes an answer keeps it in memory, and its readers read it there; a copy goes
 * to a Redis stream, for readers elsewhere. Without Redis nothing is lost but them.
 */
export class RedisRunLog implements RunLog {
  private readonly memory: MemoryRunLog
  private readonly appender: Appender
  readonly shared: SharedEvents

  constructor({ redis, bus, tickMs, maxEntries, ...kept }: RedisRunLogOptions) {
    this.memory = new MemoryRunLog(kept)
    this.appender = new Appender({ redis, tickMs, maxEntries, onGrown: (runId) => bus.publish(topicOf(runId), '') })
    this.shared = new RedisEvents(redis, bus)
  }

  /** Whether other servers can read what is made here. */
  get mode(): 'redis' | 'local' {
    return this.appender.works ? 'redis' : 'local'
  }

  create(runId: string): RunWriter {
    const writer = this.memory.create(runId)
    return new CopiedWriter(writer, this.appender, {
      runId,
      writer,
      ended: false,
      size: 0,
      acked: 0,
      sent: 0,
      entries: 0,
      refreshed: 0,
    })
  }

  read(runId: string, after: number): AsyncIterableIterator<RunBatch> | undefined {
    return this.memory.read(runId, after)
  }

  close(): Promise<void> {
    return this.appender.close()
  }
}

/** Writes to memory and has it copied. What has been sent to Redis counts as delivered: somebody may have read it there. */
class CopiedWriter implements RunWriter {
  constructor(
    private readonly memory: RunWriter,
    private readonly appender: Appender,
    private readonly stream: Appended,
  ) {}

  get seq(): number {
    return this.memory.seq
  }

  get delivered(): number {
    return Math.max(this.memory.delivered, this.stream.sent)
  }

  append(event: RunEvent): number {
    const seq = this.memory.append(event)
    this.stream.size += typeof event === 'string' ? event.length : 256
    if (isTerminal(event)) this.stream.ended = true
    this.appender.add(this.stream)
    return seq
  }

  truncate(seq: number): void {
    this.memory.truncate(Math.max(seq, this.delivered))
  }

  events(after: number): readonly RunEvent[] {
    return this.memory.events(after)
  }
}

class RedisEvents implements SharedEvents {
  constructor(
    private readonly redis: Redis,
    private readonly bus: Bus,
  ) {}

  async next(runId: string, after: number): Promise<RunBatch | undefined> {
    const gap = gapOf(runId)
    const next = numberAt(placeAfter(after, gap), gap)
    const entries = await this.redis.xrange(streamOf(runId), `${next}-0`, '+', 'COUNT', ENTRIES_AT_ONCE)
    return fromEntries(entries, next - 1)
  }

  async end(runId: string): Promise<number | undefined> {
    const [entry] = await this.redis.xrevrange(streamOf(runId), '+', '-', 'COUNT', 1)
    const [id, fields] = entry ?? []
    const events = JSON.parse(fields?.[3] ?? '[]') as RunEvent[]
    return isTerminal(events.at(-1)) ? Number.parseInt(id ?? '', 10) : undefined
  }

  onMore(runId: string, listener: () => void): () => void {
    return this.bus.subscribe(topicOf(runId), listener, listener)
  }
}
