/** An answer as it leaves, small enough to be kept. */
export interface WholeAnswer {
  status: number
  /** Names in small letters. */
  headers: Record<string, string>
  body: Uint8Array
}

/** Bytes of the longest answer that is kept. */
export const MAX_KEPT = 4 * 1024 * 1024

/** What belongs to an answer and not to the connection it went over. */
const KEPT_HEADERS = [
  'content-type',
  'content-disposition',
  'etag',
  'location',
  'x-error-code',
  'x-export-id',
  'x-vercel-ai-ui-message-stream',
]

export function keptHeaders(...sources: Headers[]): Record<string, string> {
  const found = KEPT_HEADERS.map((name) => [name, sources.map((headers) => headers.get(name)).find(Boolean)] as const)
  return Object.fromEntries(found.flatMap(([name, value]) => (value ? [[name, value]] : [])))
}

/** Whether an answer says something about the request, and not about the moment: that one is worth asking again. */
export const isFinal = (status: number): boolean => status < 500 && status !== 429 && status !== 409

/** An event stream that ended with a failure, in the words of any of our dialects. Data never has a line break in it. */
const FAILED = /^(?:event: (?:error|response\.failed)|data: \{"error":)/m

/** Whether the answer that these bytes are came to a good end. */
export const endedWell = (contentType: string, bytes: Uint8Array): boolean =>
  !contentType.startsWith('text/event-stream') || !FAILED.test(new TextDecoder().decode(bytes))

/**
 * Passes a stream on as it is read. @param ended told once, before the reader learns of the end: all bytes, or undefined when
 *   the reader left, the source failed or there was too much to keep.
 */
export function overheard(
  source: ReadableStream<Uint8Array>,
  ended: (bytes: Uint8Array | undefined) => Promise<void>,
): ReadableStream<Uint8Array> {
  const reader = source.getReader()
  let pieces: Uint8Array[] | undefined = []
  let size = 0
  let over = false
  const end = async (bytes?: Uint8Array) => {
    if (over) return
    over = true
    await ended(bytes)
  }
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { value, done } = await reader.read()
        if (done) {
          await end(pieces && Buffer.concat(pieces))
          return controller.close()
        }
        size += value.length
        if (size > MAX_KEPT) pieces = undefined
        pieces?.push(value)
        controller.enqueue(value)
      } catch (error) {
        await end()
        controller.error(error)
      }
    },
    async cancel(reason) {
      await Promise.all([end(), reader.cancel(reason)])
    },
  })
}
