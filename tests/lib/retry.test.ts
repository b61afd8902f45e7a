import { afterEach, expect, mock, spyOn, test } from 'bun:test'
import { retry } from '../../src/lib/retry'

/** Timers that ring at once and remember how long they were to wait. */
const pauses: number[] = []
const ringAtOnce = () =>
  spyOn(globalThis, 'setTimeout').mockImplementation(((ring: () => void, ms: number) => {
    pauses.push(ms)
    queueMicrotask(ring)
  }) as typeof setTimeout)
afterEach(() => {
  mock.restore()
  pauses.length = 0
})

/** Fails so often, then says how often it was called. */
const failing = (times: number) => {
  let calls = 0
  return async () => {
    calls++
    if (calls <= times) throw new Error(`failure ${calls}`)
    return calls
  }
}

test('does not wait for what works', async () => {
  ringAtOnce()
  expect(await retry(failing(0), { attempts: 3, baseMs: 100 })).toBe(1)
  expect(pauses).toEqual([])
})

test('calls until it works', async () => {
  ringAtOnce()
  expect(await retry(failing(2), { attempts: 3, baseMs: 100 })).toBe(3)
  expect(pauses).toHaveLength(2)
})

test('gives up after so many calls, with the last failure', async () => {
  ringAtOnce()
  await expect(retry(failing(3), { attempts: 3, baseMs: 100 })).rejects.toThrow('failure 3')
  expect(pauses).toHaveLength(2)
  await expect(retry(failing(9), { attempts: 1, baseMs: 100 })).rejects.toThrow('failure 1')
})

test('pauses twice as long each time, with jitter, at most five seconds', async () => {
  ringAtOnce()
  await retry(failing(8), { attempts: 9, baseMs: 100 })
  const full = [100, 200, 400, 800, 1600, 3200, 5000, 5000]
  expect(pauses).toHaveLength(full.length)
  for (const [i, pause] of pauses.entries()) {
    expect(pause).toBeGreaterThanOrEqual((full[i] ?? 0) / 2)
    expect(pause).toBeLessThanOrEqual(full[i] ?? 0)
  }
  expect(new Set(pauses.map((pause, i) => pause / (full[i] ?? 1))).size).toBeGreaterThan(1)
})
