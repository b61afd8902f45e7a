/** What the fake provider answers to POST /v1/embeddings. The model chooses how. */
import type { ServerResponse } from 'node:http'

export type EmbeddingsBody = { model: string; input: unknown; encoding_format?: string; [key: string]: unknown }

/**
 * | model      | answer                                                                              |
 * |------------|-------------------------------------------------------------------------------------|
 * | embed      | `[length of the text (or tokens), its place]` each, in the form that is asked for   |
 * | float-only | the same, as numbers whatever is asked for                                          |
 * | backwards  | the same, the last one first                                                        |
 * | short      | one vector too few                                                                  |
 * | status:<n> | that status                                                                         |
 */
export function answerEmbeddings(body: EmbeddingsBody, response: ServerResponse): void {
  const send = (status: number, answer: unknown) =>
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
  const status = /^status:(\d+)$/.exec(body.model)?.[1]
  if (status) return void send(Number(status), { error: { message: `Refused with ${status}` } })
  const isOne = typeof body.input === 'string' || (Array.isArray(body.input) && typeof body.input[0] === 'number')
  const inputs = (isOne ? [body.input] : body.input) as { length: number }[]
  const base64 = body.encoding_format === 'base64' && body.model !== 'float-only'
  const data = inputs.map(({ length }, index) => {
    const vector = [length, index]
    const embedding = base64 ? Buffer.from(new Float32Array(vector).buffer).toString('base64') : vector
    return { object: 'embedding', index, embedding }
  })
  if (body.model === 'backwards') data.reverse()
  if (body.model === 'short') data.pop()
  send(200, { object: 'list', data, model: body.model, usage: { prompt_tokens: 7, total_tokens: 7 } })
}
