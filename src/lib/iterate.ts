/**
 * Maps an async iterator. Unlike a generator it passes `return()` on at once, also while `next()` is pending, so a
 * reader that leaves is let go immediately.
 */
export function mapIterator<A, B>(source: AsyncIterator<A>, map: (value: A) => B): AsyncIterableIterator<B> {
  return {
    [Symbol.asyncIterator]() {
      return this
    },
    async next() {
      const result = await source.next()
      return result.done ? { done: true, value: undefined } : { done: false, value: map(result.value) }
    },
    async return() {
      await source.return?.()
      return { done: true, value: undefined }
    },
  }
}

/** The same values, until `ended` says that the last one was the last; the source is then let go. */
export function endWhen<T>(source: AsyncIterator<T>, ended: () => boolean): AsyncIterableIterator<T> {
  return {
    [Symbol.asyncIterator]() {
      return this
    },
    async next() {
      if (!ended()) return source.next()
      await source.return?.()
      return { done: true, value: undefined }
    },
    async return() {
      await source.return?.()
      return { done: true, value: undefined }
    },
  }
}

/** Milliseconds a client waits for an error to have a status of its own before the stream is opened. */
const PATIENCE = 5000

/**
 * Waits for the first value, at most `ms`, then gives back the whole iterator. What goes wrong before that is thrown
 * here, while the HTTP status can still say so.
 */
export async function primed<T>(source: AsyncIterator<T>, ms = PATIENCE): Promise<AsyncIterableIterator<T>> {
  const first = source.next()
  let timer: ReturnType<typeof setTimeout> | undefined
  const patience = new Promise((resolve) => {
    timer = setTimeout(resolve, ms)
  })
  try {
    await Promise.race([first, patience])
  } finally {
    clearTimeout(timer)
  }
  let pending: Promise<IteratorResult<T>> | undefined = first
  const whole: AsyncIterableIterator<T> = {
    [Symbol.asyncIterator]: () => whole,
    next() {
      const result = pending ?? source.next()
      pending = undefined
      return result
    },
    async return() {
      await source.return?.()
      return { done: true, value: undefined }
    },
  }
  return whole
}
