import { createApp } from '../../src/app'
import { MemoryBus } from '../../src/bus/memory'
import { Sockets, type SocketsDeps } from '../../src/modules/ws/service'
import type { TestApp } from './app'

/** Another server on the same services, with sockets of its own: limits and lookers-up of a test's choice. Whoever asks stops it. */
export function socketsOf(app: TestApp, changes: Partial<SocketsDeps>) {
  const { accounts, chat, runs, feed } = app.services
  const sockets = new Sockets({
    identify: (credential) => accounts.identify(credential),
    identifyAnew: (credential) => accounts.identifyAnew(credential),
    chat,
    runs,
    feed,
    bus: new MemoryBus(),
    onFault: () => {},
    ...changes,
  })
  const other = createApp({ ...app.services, sockets })
  other.listen({ hostname: '127.0.0.1', port: 0, reusePort: false })
  return { sockets, other }
}
