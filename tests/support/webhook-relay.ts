import { newId } from '../../src/lib/ids'
import { Sender } from '../../src/modules/webhooks/sender'
import { Webhooks, type WebhooksDeps } from '../../src/modules/webhooks/service'
import type { OutboxEvent } from '../../src/store/port-money'
import { MemoryOutbox } from './memory-outbox'
import { startReceiver } from './webhook-receiver'

export const SECRET = 'whsec_Y2FuYXJ5LXdlYmhvb2stc2VjcmV0LTEyMzQ1Njc4OTA='
export const FAST = { busy: 5, idle: 5, unwanted: 5, gather: 1 }

const ends: (() => Promise<void>)[] = []
/** Ends what a test has begun. */
export async function endRelays(): Promise<void> {
  for (const end of ends.splice(0).reverse()) await end()
}

/** As the database writes it when somebody's balance falls. */
export const event = (over: Partial<OutboxEvent> = {}): OutboxEvent => ({
  id: newId(),
  tenantId: newId(),
  userId: newId(),
  type: 'balance.low',
  data: { balance_nanos: '12500000' },
  // Before the clocks of the tests, which stand still.
  createdAt: new Date(Date.now() - 1000),
  ...over,
})

/** A relay on an outbox in memory, with a clock that stands still unless it is moved. */
export function relay(url: string | undefined, over: Partial<WebhooksDeps> & { timeoutMs?: number } = {}) {
  const clock = { at: Date.now() }
  const now = () => new Date(clock.at)
  const outbox = new MemoryOutbox()
  const log: { level: string; facts: object; message: string }[] = []
  const tried: string[] = []
  const webhooks = new Webhooks({
    outbox,
    sender: url ? new Sender({ url, secret: SECRET, now, timeoutMs: over.timeoutMs ?? 2000 }) : undefined,
    watcher: { webhookTried: (type, outcome) => tried.push(`${type} ${outcome}`), outboxWaiting: () => {} },
    log: (level, facts, message) => log.push({ level, facts, message }),
    now,
    pace: FAST,
    ...over,
  })
  ends.push(() => webhooks.close())
  webhooks.start()
  return { webhooks, outbox, log, tried, clock }
}

/** Somebody who is told, until the test is over. */
export const receiver: typeof startReceiver = (answer) => {
  const made = startReceiver(answer)
  ends.push(made.stop)
  return made
}

/** What a receiver answers. */
export const status = (code: number, headers = {}) => new Response('no', { status: code, headers })
