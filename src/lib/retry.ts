export interface RetryOptions {
  /** Calls at most, the first included. */
  attempts: number
  /** The first pause in milliseconds; each next one is twice as long, at most 5 s. */
  baseMs: number
  /** Whether another try makes sense after this failure; default: always. */
  when?: (error: unknown) => boolean
}

/** Calls until it works. Pauses have equal jitter: half fixed, half random, so that callers spread out. */
export async function retry<T>(
  call: () => Promise<T>,
  { attempts, baseMs, when = () => true }: RetryOptions,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await call()
    } catch (error) {
      if (attempt >= attempts || !when(error)) throw error
      const pause = Math.min(5000, baseMs * 2 ** (attempt - 1))
      await new Promise((resolve) => setTimeout(resolve, pause / 2 + (Math.random() * pause) / 2))
    }
  }
}
