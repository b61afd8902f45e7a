/** The processes of the comparison with and without the books. */
import { ChatServer, type Upstream } from './hosts'

/** This server as it is sold: people pay in advance, so every piece of an answer is reckoned. */
export class GovernedServer extends ChatServer {
  constructor(upstream: Upstream, databaseUrl: string) {
    super(upstream, databaseUrl, 'server, governed')
  }

  protected override env(): Record<string, string> {
    return { ...super.env(), BILLING: 'prepaid', SIGNUP_CREDIT: '100000', UNKNOWN_PRICE: 'at:5' }
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
