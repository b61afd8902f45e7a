/** The clients of one job, and the moment at which it is ended by force: no job outlives its limit. */
import { ChatClient } from '../lib/chat-client'
import type { Client } from '../lib/client'
import type { Aim } from '../lib/job'
import { SocketClient } from '../lib/socket-client'

export class Crew {
  readonly #clients: Client[] = []
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

  hire(count = 1): Client[] {
    return Array.from({ length: count }, () => this.enlist(this.#client(this.#clients.length)))
  }

  /** Has a client ended with the others. */
  enlist<T extends Client>(client: T): T {
    this.#clients.push(client)
    return client
  }

  /** Every client asks `times`, unmeasured: connections open, conversations exist, code is warm. */
  async warm(clients: readonly Client[], times: number): Promise<void> {
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

  #client(i: number): Client {
    const { keys, key } = this.aim
    const aim = { ...this.aim, key: keys?.[i % keys.length] ?? key }
    return aim.shape === 'socket' ? new SocketClient(aim) : new ChatClient(aim)
  }

  #closeAll(): void {
    this.#over = true
    for (const client of this.#clients) client.close()
  }
}
