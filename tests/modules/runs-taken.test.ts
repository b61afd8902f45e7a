import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type Paid, paidApp } from '../support/paid'
import { readSse } from '../support/read-sse'
import { until } from '../support/servers'

let paid: Paid
beforeAll(async () => {
  paid = await paidApp()
})
afterAll(() => paid.close())

test('a reader is not told that an answer is complete when others took its server for dead and closed it', async () => {
  const { token } = await paid.person()
  const release = paid.provider.hold()
  const response = await paid.app.call('/v1/chat/completions', { token, json: { message: 'half 8', model: 'paid' } })
  const said = Promise.withResolvers<string>()
  const whole = readSse(response, (frames) => {
    if (frames.length >= 3) said.resolve(String(frames[0]?.data.run_id))
    return false
  })
  const run = await said.promise
  // As after ten seconds without a heartbeat.
  await paid.app.services.store.runs.interruptOrphans(0, new Date())
  release()
  const { frames, done } = await whole
  expect(done).toBe(true)
  expect(frames.at(-1)?.data.error).toMatchObject({ code: 'UPSTREAM_UNAVAILABLE' })
  const { data } = await (await paid.app.call(`/v1/runs/${run}`, { token })).json()
  expect(data.status).toBe('interrupted')
  // It was given all the same, and is paid for.
  await until(async () => (await paid.pool.query(`select from reservations where state = 'open'`)).rowCount === 0)
})
