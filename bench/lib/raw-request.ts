/** One HTTP request read from a socket. */
export interface RawRequest {
  readonly method: string
  readonly path: string
  readonly body: string
}

/**
 * Reads requests with a Content-Length from a socket's bytes. Just enough HTTP/1.1 for a fake provider whose clients
 * are known; a chunked request body throws.
 */
export class RequestReader {
  #text = ''

  /** Adds bytes and returns the requests that are now complete. */
  feed(bytes: Buffer): RawRequest[] {
    this.#text += bytes.toString('latin1')
    const requests: RawRequest[] = []
    for (let request = this.#take(); request !== undefined; request = this.#take()) requests.push(request)
    return requests
  }

  #take(): RawRequest | undefined {
    const headEnd = this.#text.indexOf('\r\n\r\n')
    if (headEnd < 0) return undefined
    const head = this.#text.slice(0, headEnd)
    if (/\r\ntransfer-encoding:/i.test(head)) throw new Error('chunked request bodies are not supported')
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0)
    const end = headEnd + 4 + length
    if (this.#text.length < end) return undefined
    const body = this.#text.slice(headEnd + 4, end)
    this.#text = this.#text.slice(end)
    const [method = '', path = ''] = head.split(' ', 2)
    return { method, path, body }
  }
}
