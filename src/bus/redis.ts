import type Redis from 'ioredis'
import { newId } from '../lib/ids'
import { MemoryBus } from './memory'
import type { Bus } from './port'

/** Before every channel of ours: others may use the same Redis. */
const PREFIX = 'aco:bus:'
/** Everybody listens here: the sender lost messages of some topic or other on their way. */
const GAP = `${PREFIX}!`
/** Milliseconds between two looks whether the listening connection still answers, and two tries to tell of a gap. */
const LOOK_EVERY = 5000
const MEND_EVERY = 1000

/**
 * The bus of several servers: Redis channels. One connection listens for the whole process; a topic is asked for once, however
 * many listen to it here. Away from Redis it is the bus of a server that is alone. A message of another server that is sent in
 * the moment (a round trip) in which a subscription begins may be missed without a gap being told.
 */
export class RedisBus implements Bus {
  private readonly local = new MemoryBus()
  /** By topic: who is to be told of gaps, one entry for each subscription. */
  private readonly topics = new Map<string, Set<{ onGap: (() => void) | undefined }>>()
  private readonly listening: Redis
  private readonly sender = newId()
  private readonly look: ReturnType<typeof setInterval>
  private mending: ReturnType<typeof setTimeout> | undefined
  private closed = false

  /** @param redis publishes; whoever opened it closes it. The listening connection is a copy of it, and ours. */
  constructor(private readonly redis: Redis) {
    // What was subscribed to is asked for again by `ready`, which knows what has changed since.
    this.listening = redis.duplicate({ autoResubscribe: false, commandTimeout: 1000 })
    // Whoever opened the first connection hears of the same troubles there.
    this.listening.on('error', () => {})
    this.listening.on('message', (channel: string, message: string) => this.receive(channel, message))
    this.listening.on('ready', () => this.ready())
    this.look = setInterval(() => this.alive(), LOOK_EVERY)
    this.look.unref()
  }

  /** Whether other servers are heard and told. */
  get mode(): 'redis' | 'local' {
    return this.redis.status === 'ready' && this.listening.status === 'ready' ? 'redis' : 'local'
  }

  publish(topic: string, message: string): void {
    this.local.publish(topic, message)
    this.redis.publish(PREFIX + topic, `${this.sender} ${message}`).catch(() => this.missed())
  }

  subscribe(topic: string, listener: (message: string) => void, onGap?: () => void): () => void {
    const end = this.local.subscribe(topic, listener)
    const subscription = { onGap }
    const all = this.topics.get(topic)
    if (all) all.add(subscription)
    else {
      this.topics.set(topic, new Set([subscription]))
      this.ask('subscribe', [PREFIX + topic])
    }
    return () => {
      end()
      const left = this.topics.get(topic)
      if (!left?.delete(subscription) || left.size > 0) return
      this.topics.delete(topic)
      this.ask('unsubscribe', [PREFIX + topic])
    }
  }

  async close(): Promise<void> {
    this.closed = true
    clearInterval(this.look)
    clearTimeout(this.mending)
    this.topics.clear()
    this.listening.disconnect()
    await this.local.close()
  }

  private receive(channel: string, message: string): void {
    if (message.startsWith(this.sender)) return
    if (channel === GAP) return void this.tellOfGap()
    const topic = channel.slice(PREFIX.length)
    try {
      this.local.publish(topic, message.slice(this.sender.length + 1))
    } catch {
      // Another version's, or not ours at all: what cannot be read is as good as missed.
      for (const { onGap } of this.topics.get(topic) ?? []) onGap?.()
    }
  }

  private ready(): void {
    const topics = [...this.topics.keys()].map((topic) => PREFIX + topic)
    this.listening.subscribe(GAP, ...topics).then(
      () => this.tellOfGap(),
      () => this.again(),
    )
  }

  private tellOfGap(): void {
    for (const subscriptions of this.topics.values()) for (const { onGap } of subscriptions) onGap?.()
  }

  /** While there is no connection nothing is asked: `ready` does it. */
  private ask(what: 'subscribe' | 'unsubscribe', channels: string[]): void {
    if (this.listening.status === 'ready') this.listening[what](...channels).catch(() => this.again())
  }

  /** A connection that answers no more is not told from a silent one in any other way. */
  private alive(): void {
    if (this.listening.status === 'ready') this.listening.ping().catch(() => this.again())
  }

  private again(): void {
    if (this.listening.status === 'ready') this.listening.disconnect(true)
  }

  /** A message did not leave, or nobody knows. Which topic it was is not kept: there may be any number of them. */
  private missed(): void {
    if (this.closed) return
    this.mending ??= setTimeout(() => {
      this.mending = undefined
      this.redis.publish(GAP, this.sender).catch(() => this.missed())
    }, MEND_EVERY)
    this.mending.unref()
  }
}
