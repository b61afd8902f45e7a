/** The processes of the comparison with and without the books. */
import { ChatServer, type Upstream } from './hosts'

/** This server as it is sold: people pay in advance, so every piece of an answer is reckoned, and requests are limited. */
export class GovernedServer extends ChatServer {
  constructor(upstream: Upstream, databaseUrl: string) {
    super(upstream, databaseUrl, 'server, governed')
  }

  protected override env(): Record<string, string> {
    const money = { BILLING: 'prepaid', SIGNUP_CREDIT: '100000', UNKNOWN_PRICE: 'at:5' }
    // More than anybody can send: every request is counted and none refused.
    return { ...super.env(), ...money, RATE_LIMIT_REQUESTS: '1000000' }
  }
}

/** The same without books and metrics. */
export class PlainServer extends ChatServer {
  protected override readonly script = 'bench/plain-server.ts'

  constructor(upstream: Upstream, databaseUrl: string) {
    super(upstream, databaseUrl, 'server, plain')
  }

  protected override env(): Record<string, string> {
    return { ...super.env(), ENABLE_METRICS: 'false', UNKNOWN_PRICE: 'at:5' }
  }
}
