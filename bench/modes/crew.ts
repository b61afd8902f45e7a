/** The clients of one job, and the moment at which it is ended by force: no job outlives its limit. */
import { ChatClient } from '../lib/chat-client'
import type { Aim } from '../lib/job'

export class Crew {
  readonly #clients: ChatClient[] = []
  readonly #limit: ReturnType<typeof setTimeout>
  #over = false

  constructor(
    readonly aim: Aim,
    limitSeconds: number,
  ) {
    this.#limit = setTimeout(() => this.#closeAll(), limitSeconds * 1000)
  }

  /** The time limit has passed. */
  get over(): boolean {
    return this.#over
  }

  hire(count = 1): ChatClient[] {
    const hired = Array.from({ length: count }, () => new ChatClient(this.aim))
    this.#clients.push(...hired)
    return hired
  }

  /** Every client asks `times`, unmeasured: connections open, conversations exist, code is warm. */
  async warm(clients: readonly ChatClient[], times: number): Promise<void> {
    await Promise.all(
      clients.map(async (client) => {
        for (let i = 0; i < times && !this.#over; i++) await client.ask(() => {})
      }),
    )
  }

  dismiss(): void {
    clearTimeout(this.#limit)
    this.#closeAll()
  }

  #closeAll(): void {
    this.#over = true
    for (const client of this.#clients) client.close()
  }
}
