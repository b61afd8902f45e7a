/** The fake upstream's answer as bytes ready for the socket: built once, only the time in a token is rewritten. */

const FIXED = '"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"bench"'
const STAMP = '0000000000000000'

export const STREAM_HEAD = Buffer.from(
  [
    'HTTP/1.1 200 OK',
    'content-type: text/event-stream; charset=utf-8',
    'cache-control: no-cache',
    'transfer-encoding: chunked',
    '\r\n',
  ].join('\r\n'),
)

function chunk(text: string): Buffer {
  return Buffer.from(`${text.length.toString(16)}\r\n${text}\r\n`)
}

function choice(delta: string, finish: string): string {
  return `data: {${FIXED},"choices":[{"index":0,"delta":{${delta}},"finish_reason":${finish}}]}\n\n`
}

/** The first frame of an answer: the role, no text. */
export const ROLE_CHUNK = chunk(choice('"role":"assistant","content":""', 'null'))

/** One token, `t<16 digits> `; the digits at `TOKEN_STAMP_AT` are the time it was sent. */
export const TOKEN_CHUNK = chunk(choice(`"content":"t${STAMP} "`, 'null'))
export const TOKEN_STAMP_AT = TOKEN_CHUNK.indexOf(STAMP)

const FINISH = choice('', '"stop"')
const DONE = 'data: [DONE]\n\n'

/** The last frames of an answer and the end of the HTTP body. Usage is sent only to those who asked for it. */
export function endChunks(tokens: number, withUsage: boolean): Buffer {
  const usage = `data: {${FIXED},"choices":[],"usage":${usageOf(tokens)}}\n\n`
  return Buffer.concat([chunk(withUsage ? FINISH + usage + DONE : FINISH + DONE), Buffer.from('0\r\n\r\n')])
}

/** A whole answer for a request without `stream`. */
export function completionBody(tokens: number): string {
  const content = 'token '.repeat(tokens)
  const message = `{"index":0,"message":{"role":"assistant","content":"${content}"},"finish_reason":"stop"}`
  const head = FIXED.replace('.chunk', '')
  return `{${head},"choices":[${message}],"usage":${usageOf(tokens)}}`
}

function usageOf(tokens: number): string {
  return `{"prompt_tokens":8,"completion_tokens":${tokens},"total_tokens":${tokens + 8}}`
}
