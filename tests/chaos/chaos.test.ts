import { afterAll, expect, test } from 'bun:test'
import { endChildren } from '../support/child'
import { runChaos } from './chaos'

afterAll(endChildren)

// For as long as you like, with hundreds of people: `bun run chaos --minutes 2`. With this seed there is something of everything.
test('nothing is lost, doubled, mixed up or unpaid while servers and Redis are killed under people who chat', async () => {
  const report = await runChaos({ seed: 5, seconds: 8, clients: 12, every: 1000 })
  expect(report.faults).toEqual([])
  expect(report.completed).toBeGreaterThan(0)
  expect(report.sse).toBeGreaterThan(0)
  expect(report.sockets).toBeGreaterThan(0)
  expect(Object.keys(report.deeds).length).toBeGreaterThan(2)
}, 120_000)
