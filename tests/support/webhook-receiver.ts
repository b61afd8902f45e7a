/** Someone who is told of events, on a free loopback port. */
export interface Delivery {
  headers: Record<string, string>
  /** As it came. */
  text: string
  body: { id: string; type: string; created_at: string; data: Record<string, unknown> }
}

export interface WebhookReceiver {
  url: string
  /** Everything that came, oldest first. */
  deliveries: Delivery[]
  /** How many requests are being answered, and how many were at most. */
  open: () => number
  most: () => number
  stop: () => Promise<void>
}

/** @param answer to each delivery; `nth` counts from 1. */
export function startReceiver(
  answer: (delivery: Delivery, nth: number) => Response | Promise<Response> = () => new Response(null, { status: 204 }),
): WebhookReceiver {
  const deliveries: Delivery[] = []
  let [open, most] = [0, 0]
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    async fetch(request) {
      most = Math.max(most, ++open)
      const text = await request.text()
      const delivery = { headers: Object.fromEntries(request.headers), text, body: JSON.parse(text) }
      deliveries.push(delivery)
      try {
        return await answer(delivery, deliveries.length)
      } finally {
        open -= 1
      }
    },
  })
  return {
    url: `http://127.0.0.1:${server.port}/hook/`,
    deliveries,
    open: () => open,
    most: () => most,
    stop: () => server.stop(true),
  }
}
