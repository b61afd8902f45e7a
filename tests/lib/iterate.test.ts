import { expect, test } from 'bun:test'
import { endWhen, mapIterator, primed } from '../../src/lib/iterate'

/** A source that gives what it is told to, when it is told to, and remembers that its reader left. */
function source<T>() {
  const waiting: PromiseWithResolvers<IteratorResult<T>>[] = []
  const asked: PromiseWithResolvers<IteratorResult<T>>[] = []
  const state = { returned: 0 }
  const iterator: AsyncIterator<T> = {
    next() {
      const ready = waiting.shift()
      if (ready) return ready.promise
      const later = Promise.withResolvers<IteratorResult<T>>()
      asked.push(later)
      return later.promise
    },
    async return() {
      state.returned++
      return { done: true, value: undefined }
    },
  }
  const put = (settle: (result: PromiseWithResolvers<IteratorResult<T>>) => void) => {
    const asker = asked.shift()
    const result = asker ?? Promise.withResolvers<IteratorResult<T>>()
    result.promise.catch(() => {})
    if (!asker) waiting.push(result)
    settle(result)
  }
  return {
    iterator,
    state,
    give: (value: T) => put(({ resolve }) => resolve({ done: false, value })),
    end: () => put(({ resolve }) => resolve({ done: true, value: undefined })),
    fail: (error: Error) => put(({ reject }) => reject(error)),
  }
}

const NEVER = 60_000
async function* numbers() {
  yield 1
  yield 2
}

test('maps every value and then ends', async () => {
  expect(await Array.fromAsync(mapIterator(numbers(), (n) => n * 10))).toEqual([10, 20])
})

test('lets a reader go at once, also while it waits for the next value', async () => {
  const { iterator, state } = source<number>()
  const mapped = mapIterator(iterator, String)
  void mapped.next()
  expect(await mapped.return?.()).toEqual({ done: true, value: undefined })
  expect(state.returned).toBe(1)
})

test('passes a failure of the source, and of the mapping, on', async () => {
  const { iterator, fail } = source<number>()
  fail(new Error('broken'))
  await expect(mapIterator(iterator, String).next()).rejects.toThrow('broken')
  const bad = mapIterator(numbers(), () => {
    throw new Error('cannot map')
  })
  await expect(bad.next()).rejects.toThrow('cannot map')
})

test('gives back the whole iterator after its first value has come', async () => {
  expect(await Array.fromAsync(await primed(numbers(), NEVER))).toEqual([1, 2])
})

test('gives back an iterator that is empty', async () => {
  const { iterator, end } = source<number>()
  end()
  expect(await (await primed(iterator, NEVER)).next()).toMatchObject({ done: true })
})

test('throws what goes wrong before the first value', async () => {
  const { iterator, fail } = source<number>()
  fail(new Error('refused'))
  await expect(primed(iterator, NEVER)).rejects.toThrow('refused')
})

test('does not wait longer than it may, and loses nothing then', async () => {
  const { iterator, give, end } = source<number>()
  const whole = await primed(iterator, 1)
  const first = whole.next()
  give(7)
  end()
  expect(await first).toEqual({ done: false, value: 7 })
  expect(await whole.next()).toMatchObject({ done: true })
})

test('throws a failure that comes late where the value would have been', async () => {
  const { iterator, fail } = source<number>()
  const whole = await primed(iterator, 1)
  fail(new Error('late'))
  await expect(whole.next()).rejects.toThrow('late')
})

test('tells the source that the reader left', async () => {
  const { iterator, give, state } = source<number>()
  give(1)
  const whole = await primed(iterator, NEVER)
  await whole.return?.()
  expect(state.returned).toBe(1)
})

test('ends after the value that was said to be the last, and lets the source go', async () => {
  const { iterator, give, state } = source<number>()
  let over = false
  const values = endWhen(iterator, () => over)
  give(1)
  expect(await values.next()).toEqual({ done: false, value: 1 })
  over = true
  expect(await values.next()).toMatchObject({ done: true })
  expect(state.returned).toBe(1)
})

test('lets the source go at once when the reader leaves before the last value', async () => {
  const { iterator, state } = source<number>()
  const values = endWhen(iterator, () => false)
  void values.next()
  await values.return?.()
  expect(state.returned).toBe(1)
})
