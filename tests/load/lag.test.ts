import { expect, test } from 'bun:test'
import { Lag } from '../../src/load/lag'
import { until } from '../support/servers'

/** Gives the event loop no time for anything else. */
function block(ms: number): void {
  for (const end = performance.now() + ms; performance.now() < end; );
}

test('says when the event loop is late most of the time, and when it is no more', async () => {
  const lag = new Lag()
  try {
    expect(lag.tooMuch).toBe(false)
    for (let i = 0; i < 40 && !lag.tooMuch; i++) {
      block(300)
      await Bun.sleep(1)
    }
    expect(lag.ms).toBeGreaterThan(200)
    await until(() => !lag.tooMuch)
  } finally {
    lag.close()
  }
}, 30_000)
