/** The server's end of a connection; what Bun calls a ServerWebSocket. */
export interface Pipe {
  /** @returns bytes sent; -1 when they wait in memory; 0 when they were thrown away. */
  send(text: string): number
  close(code: number, reason: string): void
  /** Bytes that wait in memory because the other end does not take them. */
  getBufferedAmount(): number
}

/** Why a slow reader is sent away. */
export const TOO_SLOW = 1013
export const READ_ON = 'You read too slowly. Connect again and resume'

/** What leaves over one connection, as fast as its reader takes it and no faster. */
export class Outgoing {
  closed = false
  private waiting: (() => void)[] = []
  /** When the reader last took something, while something waits for them; `performance.now()`. */
  private takenAt: number | undefined
  /** Characters of replies since there was room. */
  private beyond = 0

  constructor(
    private readonly pipe: Pipe,
    /** Bytes that may wait in memory. The last frame may go beyond. */
    private readonly limit: number,
  ) {}

  get hasRoom(): boolean {
    return this.closed || this.pipe.getBufferedAmount() <= this.limit
  }

  /** Resolves when there is room, or nothing will be sent any more. */
  async room(): Promise<void> {
    while (!this.hasRoom) await new Promise<void>((resolve) => this.waiting.push(resolve))
  }

  send(text: string): void {
    if (this.closed) return
    const sent = this.pipe.send(text)
    if (sent < 0) this.takenAt ??= performance.now()
    // A frame that is lost in silence would be a hole in somebody's answer.
    if (sent === 0) this.close(TOO_SLOW, READ_ON)
  }

  /**
   * Sends what was asked for and cannot wait for room. Whoever goes on asking and does not take it would fill our memory, however
   * little they read now and then.
   */
  reply(text: string): void {
    if (!this.hasRoom) this.beyond += text.length
    this.send(text)
    if (this.beyond > this.limit) this.close(TOO_SLOW, READ_ON)
  }

  /** Called when the reader took something. */
  drained(): void {
    this.takenAt = this.pipe.getBufferedAmount() > 0 ? performance.now() : undefined
    if (!this.hasRoom) return
    this.beyond = 0
    this.wake()
  }

  /** Milliseconds for which the reader has taken nothing of what waits. */
  stuckFor(now: number): number {
    return this.takenAt === undefined || this.pipe.getBufferedAmount() === 0 ? 0 : now - this.takenAt
  }

  close(code: number, reason: string): void {
    if (this.closed) return
    this.ended()
    // It waits behind what they do not take. Whoever never answers it is cut off by the idle timeout of the server.
    this.pipe.close(code, reason)
  }

  /** The connection is gone. */
  ended(): void {
    this.closed = true
    this.wake()
  }

  private wake(): void {
    const waiting = this.waiting
    this.waiting = []
    for (const resolve of waiting) resolve()
  }
}
