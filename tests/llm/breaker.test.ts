import { describe, expect, test } from 'bun:test'
import { Breaker } from '../../src/llm/breaker'
import { Breakers } from '../../src/llm/breakers'
import type { Provider } from '../../src/llm/port'
import { RetryBudget } from '../../src/llm/retry-budget'

/** A breaker and the hands of its clock. */
function breaker() {
  const clock = { now: 0 }
  const seen = { opened: 0 }
  const subject = new Breaker({ now: () => clock.now, onOpen: () => seen.opened++ })
  const ask = () => {
    const permit = subject.admit()
    if (!permit) throw new Error('It is left alone')
    return permit
  }
  const fail = (times: number) => {
    for (let i = 0; i < times; i++) ask().failed()
  }
  return { subject, clock, seen, ask, fail }
}

/** One that is open, at the moment when it may be looked at again. */
function broken() {
  const made = breaker()
  made.fail(5)
  made.clock.now += 5000
  return made
}

describe('a breaker', () => {
  test('opens at the fifth failure in a row, and tells once', () => {
    const { subject, seen, fail, ask } = breaker()
    fail(4)
    ask().succeeded()
    fail(4)
    expect(subject.open).toBe(false)
    const late = ask()
    fail(1)
    expect(subject).toMatchObject({ open: true, wait: 5000 })
    expect(subject.admit()).toBeUndefined()
    late.failed()
    expect(subject.wait).toBe(5000)
    expect(seen.opened).toBe(1)
  })

  test('opens when half of ten answers in half a minute failed', () => {
    const { subject, fail, ask } = breaker()
    for (let i = 0; i < 4; i++) {
      ask().succeeded()
      fail(1)
    }
    ask().succeeded()
    expect(subject.open).toBe(false)
    fail(1)
    expect(subject.open).toBe(true)
  })

  test('forgets what was half a minute ago', () => {
    const { subject, clock, fail, ask } = breaker()
    for (let i = 0; i < 4; i++) {
      fail(1)
      ask().succeeded()
    }
    clock.now += 35_000
    fail(1)
    ask().succeeded()
    fail(1)
    expect(subject.open).toBe(false)
    clock.now += 3_600_000
    fail(1)
    expect(subject.open).toBe(false)
  })

  test('lets one request at a time look whether it is back', () => {
    const { subject, ask } = broken()
    const probe = ask()
    expect(subject.admit()).toBeUndefined()
    expect(subject.wait).toBe(1000)
    probe.succeeded()
    expect(subject).toMatchObject({ open: false, wait: 0 })
    ask()
    ask()
  })

  test('lets others in as soon as the look hears a first piece, and opens again at the next failure', () => {
    const { subject, clock, ask } = broken()
    const probe = ask()
    probe.spoke()
    expect(subject.open).toBe(false)
    ask().succeeded()
    probe.failed()
    expect(subject.open).toBe(false)

    const again = broken()
    again.ask().spoke()
    again.ask().failed()
    expect(again.subject).toMatchObject({ open: true, wait: 10_000 })
    expect(clock.now).toBe(5000)
  })

  test('gives a look that nobody waits for to the next one', () => {
    const { subject, ask } = broken()
    ask().abandoned()
    expect(subject.open).toBe(true)
    const probe = ask()
    probe.abandoned()
    probe.failed()
    expect(subject.wait).toBe(0)
  })

  test('waits twice as long after each look that fails, up to a minute, and five seconds again after a whole answer', () => {
    const { subject, clock, ask } = broken()
    const waits = [10, 20, 40, 60, 60].map((seconds) => {
      ask().failed()
      expect(subject.wait).toBe(seconds * 1000)
      clock.now += seconds * 1000
      return seconds
    })
    expect(waits).toHaveLength(5)
    ask().succeeded()
    for (let i = 0; i < 5; i++) ask().failed()
    expect(subject.wait).toBe(5000)
  })

  test('rests when it is asked to, without being broken', () => {
    const { subject, clock, ask } = breaker()
    subject.rest(3000)
    subject.rest(1000)
    expect(subject.admit()).toBeUndefined()
    expect(subject).toMatchObject({ open: false, wait: 3000 })
    clock.now += 3000
    ask()
  })
})

describe('the breakers', () => {
  const provider = (name: string): Provider => ({
    name,
    listsAll: false,
    personalKeys: true,
    cost: () => null,
    models: async () => [],
    async *stream() {},
  })

  test('are apart for each provider, model and owner of a key; those of persons are not shown', () => {
    const opened: string[] = []
    const breakers = new Breakers({ now: () => 0, onOpen: (...what) => opened.push(what.join(' ')) })
    const [a, b] = [provider('a'), provider('b')]
    const open = (of: Provider, model: string, owner: string) => {
      const subject = breakers.of({ provider: of, model }, owner)
      for (let i = 0; i < 5; i++) subject.admit()?.failed()
    }
    open(a, 'x', 'mallory')
    for (const [of, model, owner] of [
      [a, 'x', 'alice'],
      [a, 'x', ''],
      [a, 'y', 'mallory'],
      [b, 'x', 'mallory'],
      [provider('a'), 'x', 'mallory'],
    ] as const) {
      expect(breakers.of({ provider: of, model }, owner).open).toBe(false)
    }
    expect(breakers.of({ provider: a, model: 'x' }, 'mallory').open).toBe(true)
    expect(breakers.open()).toEqual(new Map([['a', 0]]))
    open(a, 'x', '')
    expect(breakers.open()).toEqual(new Map([['a', 1]]))
    expect(opened).toEqual(['a x'])
  })

  test('are not more than can be kept', () => {
    const breakers = new Breakers({ now: () => 0, onOpen: () => {} })
    const of = provider('a')
    const first = breakers.of({ provider: of, model: 'first' }, '')
    for (let i = 0; i < 10_000; i++) breakers.of({ provider: of, model: `model ${i}` }, '')
    expect(breakers.of({ provider: of, model: 'first' }, '')).not.toBe(first)
  })
})

test('the budget of retries starts with ten, earns one in five requests, and saves fifty', () => {
  const budget = new RetryBudget()
  const spend = () => {
    let spent = 0
    while (budget.take()) spent++
    return spent
  }
  expect(spend()).toBe(10)
  for (let i = 0; i < 11; i++) budget.earn()
  expect(spend()).toBe(2)
  for (let i = 0; i < 1000; i++) budget.earn()
  expect(spend()).toBe(50)
})
