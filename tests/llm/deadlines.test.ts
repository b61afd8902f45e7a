import { describe, expect, test } from 'bun:test'
import { AppError } from '../../src/errors'
import { Deadlines, type Timeouts } from '../../src/llm/deadlines'

const FAR = 60_000
const watch = (timeouts: Partial<Timeouts>, outer = new AbortController().signal) =>
  new Deadlines({ connect: FAR, firstToken: FAR, idle: FAR, total: FAR, ...timeouts }, outer)

/** What the watch ends with. */
const end = (deadlines: Deadlines): Promise<unknown> =>
  new Promise((resolve) => {
    const { signal } = deadlines
    signal.addEventListener('abort', () => resolve(signal.reason))
    if (signal.aborted) resolve(signal.reason)
  })

async function expectTimeout(deadlines: Deadlines, what: RegExp): Promise<void> {
  const reason = await end(deadlines)
  deadlines.done()
  expect(reason).toBeInstanceOf(AppError)
  expect(reason).toMatchObject({ code: 'UPSTREAM_TIMEOUT', message: expect.stringMatching(what) })
}

describe('a request', () => {
  test('without headers ends at the connect limit', () =>
    expectTimeout(watch({ connect: 20 }), /respond within 0.02 s/))

  test('with headers and no event ends at the first-token limit', () => {
    const deadlines = watch({ connect: 10, firstToken: 40 })
    deadlines.connected()
    return expectTimeout(deadlines, /begin its answer within 0.04 s/)
  })

  test('that falls silent ends at the idle limit', () => {
    const deadlines = watch({ connect: 10, firstToken: 20, idle: 50 })
    deadlines.connected()
    deadlines.talking()
    return expectTimeout(deadlines, /silent for 0.05 s/)
  })

  test('that has said its last word is not waited for much longer', async () => {
    const deadlines = watch({ idle: 40 })
    deadlines.connected()
    deadlines.talking()
    deadlines.ending()
    await expectTimeout(deadlines, /silent for 0.04 s/)
    const patient = watch({ idle: FAR })
    patient.connected()
    patient.talking()
    const begun = performance.now()
    patient.ending()
    await end(patient)
    patient.done()
    expect(performance.now() - begun).toBeLessThan(8000)
  })

  test('that goes on for ever ends at the total limit, however steadily it talks', () => {
    const deadlines = watch({ idle: 1000, total: 100 })
    deadlines.connected()
    deadlines.talking()
    const steady = setInterval(() => deadlines.progress(), 5)
    return expectTimeout(deadlines, /longer than 0.1 s/).finally(() => clearInterval(steady))
  })

  test('that makes progress outlives many idle limits', async () => {
    const deadlines = watch({ idle: 500 })
    deadlines.connected()
    deadlines.talking()
    for (let i = 0; i < 80; i++) {
      await Bun.sleep(10)
      deadlines.progress()
    }
    expect(deadlines.signal.aborted).toBe(false)
    await expectTimeout(deadlines, /silent for 0.5 s/)
  })
})

describe('the caller', () => {
  test('who aborts ends it with their own reason', async () => {
    const outer = new AbortController()
    const deadlines = watch({}, outer.signal)
    outer.abort(new Error('enough'))
    expect(await end(deadlines)).toMatchObject({ message: 'enough' })
    deadlines.done()
  })

  test('who aborted before ends it at once', () => {
    const deadlines = watch({}, AbortSignal.abort('gone'))
    expect(deadlines.signal.reason).toBe('gone')
    deadlines.done()
  })

  test('who aborts after the end changes nothing, and no timer fires any more', async () => {
    const outer = new AbortController()
    const deadlines = watch({ connect: 10, total: 10 }, outer.signal)
    deadlines.done()
    outer.abort()
    await Bun.sleep(30)
    expect(deadlines.signal.aborted).toBe(false)
  })
})
