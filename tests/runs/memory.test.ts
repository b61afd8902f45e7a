import { expect, test } from 'bun:test'
import { MemoryRunLog } from '../../src/runs/memory'
import { runLogContract } from './contract'

runLogContract('the memory log', () => ({
  log: new MemoryRunLog({ keepMs: 500 }),
  expire: () => Bun.sleep(600),
  close() {},
}))

const finish = (log: MemoryRunLog, run: string, text = '') => {
  const writer = log.create(run)
  if (text) writer.append(text)
  writer.append({ type: 'done', finishReason: 'stop', usage: null, costUsd: null })
}

test('keeps no more finished runs than it is told', () => {
  const log = new MemoryRunLog({ keep: 2 })
  for (const run of ['a', 'b', 'c']) finish(log, run)
  expect(log.read('a', 0)).toBeUndefined()
  expect(log.read('b', 0)).toBeDefined()
  expect(log.read('c', 0)).toBeDefined()
})

test('keeps no more text of finished runs than 64 MB', () => {
  const log = new MemoryRunLog()
  const megabyte = 'x'.repeat(1024 * 1024)
  for (let i = 0; i < 80; i++) finish(log, `run ${i}`, megabyte)
  expect(log.read('run 0', 0)).toBeUndefined()
  expect(log.read('run 79', 0)).toBeDefined()
})

test('feeds a late reader of a long answer in pieces', async () => {
  const log = new MemoryRunLog()
  const writer = log.create('long')
  for (let i = 0; i < 1000; i++) writer.append('x')
  const first = await log.read('long', 0)?.next()
  expect(first?.value.events.length).toBeLessThan(300)
})
