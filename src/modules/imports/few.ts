export interface Few<T> {
  /** How many at once. */
  most: number
  /** How large those at once may be together; one alone may be larger. */
  maxSize: number
  sizeOf: (item: T) => number
}

/**
 * Works on a few items at once, and gives what came of them in their order. When the items or the work fail, what was
 * before still comes, and nothing goes on behind the failure.
 */
export async function* fewAtOnce<T, R>(
  items: AsyncIterator<T>,
  work: (item: T) => Promise<R>,
  { most, maxSize, sizeOf }: Few<T>,
): AsyncGenerator<R> {
  const running: { result: Promise<R>; size: number }[] = []
  let total = 0
  const oldest = async () => {
    const [first] = running
    const value = await (first as { result: Promise<R> }).result
    running.shift()
    total -= first?.size ?? 0
    return value
  }
  try {
    for (;;) {
      const next = await taken(items)
      if ('failure' in next) {
        while (running.length > 0) yield await oldest()
        throw next.failure
      }
      if (next.done) break
      const size = sizeOf(next.value)
      while (running.length >= most || (running.length > 0 && total + size > maxSize)) yield await oldest()
      running.push({ result: heard(work(next.value)), size })
      total += size
    }
    while (running.length > 0) yield await oldest()
  } finally {
    await Promise.allSettled(running.map(({ result }) => result))
    await items.return?.()
  }
}

const taken = <T>(items: AsyncIterator<T>): Promise<IteratorResult<T> | { failure: unknown }> =>
  items.next().catch((failure: unknown) => ({ failure }))

/** Its failure is told when its turn comes, and must not end the process before. */
function heard<R>(result: Promise<R>): Promise<R> {
  result.catch(() => {})
  return result
}
