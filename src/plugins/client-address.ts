import { Elysia } from 'elysia'

/**
 * The caller's network address, for limits. Headers are believed only behind a proxy that sets them, or everybody
 * could be everybody: `X-Real-IP`, or the last entry of `X-Forwarded-For`, which is the one our own proxy wrote.
 */
export const clientAddress = ({ trustProxy }: { trustProxy: boolean }) =>
  new Elysia({ name: 'client-address' }).derive({ as: 'scoped' }, function address({ request, server, headers }) {
    const forwarded = trustProxy
      ? (headers['x-real-ip'] ?? headers['x-forwarded-for']?.split(',').at(-1)?.trim())
      : undefined
    return {
      address: forwarded ?? server?.requestIP(request)?.address ?? 'local',
    }
  })

export type ClientAddress = ReturnType<typeof clientAddress>
