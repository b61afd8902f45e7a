import { Webhook } from 'standardwebhooks'

interface Event {
  id: string
  type: string
  created_at: string
  data: Record<string, unknown>
}

/** Takes an event that this server sent. @returns 400 for what somebody else sent. */
export async function receive(request: Request, secret: string, take: (event: Event) => void): Promise<Response> {
  const body = await request.text()
  let event: Event
  try {
    event = new Webhook(secret).verify(body, Object.fromEntries(request.headers)) as Event
  } catch {
    return new Response('The signature is not right', { status: 400 })
  }
  take(event)
  return new Response(null, { status: 204 })
}
