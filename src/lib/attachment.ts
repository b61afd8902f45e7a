export interface AttachmentOptions {
  /** As the browser is to save it; plain letters, digits, dots and dashes. */
  name: string
  contentType: string
  headers?: Record<string, string>
}

/** A file to download. Pulls one piece at a time, so a slow reader slows the source and nothing piles up here. */
export function attachment(
  pieces: AsyncIterator<Uint8Array>,
  { name, contentType, headers = {} }: AttachmentOptions,
): Response {
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { value, done } = await pieces.next()
      if (done) controller.close()
      else controller.enqueue(value)
    },
    cancel: () => void pieces.return?.(),
  })
  return new Response(body, {
    headers: {
      'content-type': contentType,
      'content-disposition': `attachment; filename="${name}"`,
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
      ...headers,
    },
  })
}
