import { Elysia } from 'elysia'
import { networkOf } from '../lib/address'

/** Who is at the other end of the connection; there is none where a request is handed over without one. */
interface Connections {
  requestIP(request: Request): { address: string } | null
}

interface Arrived {
  request: Request
  server: Connections | null
  trustProxy: boolean
}

/**
 * The caller's network address, for limits. Headers are believed only behind a proxy, or everybody could be everybody, and
 * then only what our own proxy wrote: the last entry of `X-Forwarded-For`, since callers can write the others. `X-Real-IP`
 * counts where there is no such header: a proxy that sets the one and passes the other on would let callers choose.
 */
export function addressOf({ request, server, trustProxy }: Arrived): string {
  const { headers } = request
  const forwarded = trustProxy
    ? headers.get('x-forwarded-for')?.split(',').at(-1)?.trim() || headers.get('x-real-ip')
    : undefined
  return networkOf(forwarded || server?.requestIP(request)?.address || 'local')
}

export const clientAddress = ({ trustProxy }: { trustProxy: boolean }) =>
  new Elysia({ name: 'client-address' }).derive({ as: 'scoped' }, function address({ request, server }) {
    return { address: addressOf({ request, server, trustProxy }) }
  })

export type ClientAddress = ReturnType<typeof clientAddress>
