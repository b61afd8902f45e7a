import { afterEach, expect, test } from 'bun:test'
import { Webhook } from 'standardwebhooks'
import { receive } from '../../docs/examples/webhook'
import { newId } from '../../src/lib/ids'
import { completedEvent } from '../../src/modules/webhooks/events'
import { until } from '../support/servers'
import type { Delivery } from '../support/webhook-receiver'
import { endRelays, event, receiver, relay, SECRET, status } from '../support/webhook-relay'

afterEach(endRelays)

test('tells an event once, signed so that the specification’s own library takes it', async () => {
  const { url, deliveries } = receiver()
  const { outbox, tried } = relay(url)
  const told = event()
  outbox.add(told)
  await until(() => outbox.kept.size === 0)
  expect(deliveries).toHaveLength(1)
  const [{ headers, text }] = deliveries as [Delivery]
  expect(new Webhook(SECRET).verify(text, headers)).toEqual({
    id: told.id,
    type: 'balance.low',
    created_at: told.createdAt.toISOString(),
    data: { tenant_id: told.tenantId, user_id: told.userId, balance_usd: 0.0125 },
  })
  expect(headers['webhook-id']).toBe(told.id)
  expect(headers['content-type']).toBe('application/json')
  expect(() => new Webhook(SECRET).verify(`${text} `, headers)).toThrow()
  expect(tried).toEqual(['balance.low delivered'])
})

test('is taken by a receiver as the documentation shows it, and nobody else is', async () => {
  const taken: string[] = []
  const asShown = ({ headers, text }: Pick<Delivery, 'headers' | 'text'>) =>
    receive(new Request('http://localhost', { method: 'POST', headers, body: text }), SECRET, ({ id }) =>
      taken.push(id),
    )
  const { url, deliveries } = receiver(asShown)
  const { outbox, tried } = relay(url)
  const told = event()
  outbox.add(told)
  await until(() => outbox.kept.size === 0)
  expect(tried).toEqual(['balance.low delivered'])
  const [{ headers, text }] = deliveries as [Delivery]
  const forged = { ...headers, 'webhook-signature': new Webhook('A'.repeat(32)).sign(told.id, new Date(), text) }
  expect((await asShown({ headers: forged, text })).status).toBe(400)
  expect((await asShown({ headers: { ...headers, 'webhook-timestamp': '1700000000' }, text })).status).toBe(400)
  expect((await asShown({ headers: {}, text })).status).toBe(400)
  expect(taken).toEqual([told.id])
})

test('takes no more than eight at once, the oldest first', async () => {
  const doors: (() => void)[] = []
  const gate = () => new Promise<Response>((resolve) => doors.push(() => resolve(status(200))))
  const { url, deliveries, open, most } = receiver(gate)
  const { outbox } = relay(url)
  const events = Array.from({ length: 30 }, (_, i) => event({ createdAt: new Date(Date.now() - 1000 + i) }))
  outbox.add(...[...events].reverse())
  await until(() => open() === 8)
  const first = deliveries.map(({ body }) => body.id)
  expect(new Set(first)).toEqual(new Set(events.slice(0, 8).map(({ id }) => id)))
  while (outbox.kept.size > 0) {
    for (const letIn of doors.splice(0)) letIn()
    await Bun.sleep(1)
  }
  expect(most()).toBe(8)
  expect(new Set(deliveries.map(({ body }) => body.id)).size).toBe(30)
  expect(deliveries).toHaveLength(30)
  expect(Math.max(...outbox.limits)).toBe(8)
})

test('looks at once when something was written here', async () => {
  const { url, deliveries } = receiver()
  const { outbox, webhooks } = relay(url, { pace: { busy: 600_000, idle: 600_000, unwanted: 600_000, gather: 1 } })
  outbox.add(event())
  webhooks.wake()
  await until(() => deliveries.length === 1)
  outbox.add(event(), event())
  webhooks.wake()
  await until(() => deliveries.length === 3)
})

test('works off a long queue without waiting in between', async () => {
  const { url, deliveries } = receiver()
  const { outbox, webhooks } = relay(url, { pace: { busy: 600_000, idle: 600_000, unwanted: 600_000, gather: 1 } })
  outbox.add(...Array.from({ length: 200 }, () => event()))
  webhooks.wake()
  await until(() => outbox.kept.size === 0)
  expect(deliveries).toHaveLength(200)
})

test('finishes what it is sending when it is closed, and takes nothing new', async () => {
  const { promise, resolve } = Promise.withResolvers<Response>()
  const { url, deliveries } = receiver(() => promise)
  const { outbox, webhooks } = relay(url)
  outbox.add(event())
  await until(() => deliveries.length === 1)
  const closed = webhooks.close()
  outbox.add(event())
  webhooks.wake()
  resolve(status(200))
  await closed
  expect(outbox.kept.size).toBe(1)
  expect(deliveries).toHaveLength(1)
})

test('keeps nothing when nobody is to be told', async () => {
  const { outbox, webhooks, tried } = relay(undefined)
  outbox.add(...Array.from({ length: 1200 }, () => event()))
  await until(() => outbox.kept.size === 0)
  expect(tried).toEqual([])
  expect(webhooks.configured).toBe(false)
  expect(webhooks.eventOf(record)).toBeUndefined()
})

test('shows neither address nor secret nor what the receiver says', async () => {
  const { url } = receiver(() => new Response('canary-answer', { status: 410 }))
  const { outbox, webhooks, log } = relay(`${url}canary-path?token=canary-query`)
  outbox.add(event())
  await until(() => outbox.kept.size === 0)
  const dead = receiver()
  await dead.stop()
  const other = relay(`${dead.url}canary-path`)
  const told = event()
  other.outbox.add(told)
  await until(() => other.outbox.kept.get(told.id)?.attempts === 1)
  const shown = JSON.stringify([log, await webhooks.status(), other.log, await other.webhooks.status()])
  expect(shown).toContain('The receiver answered HTTP 410')
  expect(shown).not.toMatch(/canary|127\.0\.0\.1|Y2FuYXJ5/)
})

const record: Parameters<typeof completedEvent>[0] = {
  id: newId(),
  tenantId: newId(),
  userId: newId(),
  keyId: null,
  conversationId: newId(),
  messageId: newId(),
  runId: newId(),
  model: 'house/echo',
  promptTokens: 12,
  createdAt: new Date('2026-11-21T10:00:00.000Z'),
  provider: 'litellm',
  providerModel: 'echo',
  status: 'completed',
  finishReason: 'stop',
  completionTokens: 30,
  cachedTokens: 4,
  reasoningTokens: 0,
  usage: { prompt_tokens: 12 },
  costNanos: 1_000_000n,
  chargeNanos: 1_200_000n,
  reportedNanos: null,
  savedNanos: 0n,
  parts: null,
  costBasis: 'provider',
  priceVersion: null,
  firstTokenMs: 5,
  latencyMs: 10,
  completedAt: new Date('2026-11-21T10:00:02.000Z'),
}

test('tells of an answer what it took and cost', () => {
  const told = completedEvent(record)
  expect(told).toEqual({
    id: expect.stringMatching(/^[0-9a-f-]{36}$/),
    tenantId: record.tenantId,
    userId: record.userId,
    type: 'message.completed',
    createdAt: record.completedAt,
    data: {
      conversation_id: record.conversationId,
      message_id: record.messageId,
      run_id: record.runId,
      key_id: null,
      model: 'house/echo',
      status: 'completed',
      finish_reason: 'stop',
      usage: { prompt_tokens: 12, completion_tokens: 30, total_tokens: 42, cached_tokens: 4, reasoning_tokens: 0 },
      cost_usd: 0.001,
      charge_nanos: '1200000',
      cost_basis: 'provider',
    },
  })
  expect(completedEvent(record).id).toBe(told.id)
  expect(completedEvent({ ...record, costNanos: null }).data.cost_usd).toBeNull()
})
