import { mapIterator } from '../lib/iterate'
import { sseResponse } from '../lib/sse'
import type { RunBatch } from '../runs/port'
import type { Run } from '../store/port'
import type { ChunkHeader } from './chunks'
import { nativeFrames } from './native'
import { runCompletion } from './openai'

/** A stored answer to be told. */
interface Answer {
  run: Pick<Run, 'id' | 'model' | 'createdAt'>
  events: AsyncIterableIterator<RunBatch>
  replayed: boolean
}

export const headerOf = ({ run }: Pick<Answer, 'run'>): ChunkHeader => ({
  id: `chatcmpl-${run.id}`,
  created: Math.floor(run.createdAt.getTime() / 1000),
  model: run.model,
})

/** The same response, saying so when the answer was made by an earlier request with the same key. */
export function replayed(answer: Pick<Answer, 'replayed'>, response: Response): Response {
  if (answer.replayed) response.headers.set('idempotency-replayed', 'true')
  return response
}

/** An answer in our own shape: as a stream of frames, or in one piece when it is done. */
export async function nativeAnswer(answer: Answer, stream: boolean): Promise<Response> {
  const header = headerOf(answer)
  if (!stream) return replayed(answer, Response.json(await runCompletion(answer.events, header)))
  return replayed(answer, sseResponse(mapIterator(answer.events, nativeFrames(header))))
}

/** Whether the answer to a request streams, when streaming is not the default. */
export const wantsStream = (
  { stream }: { stream?: boolean | null | undefined },
  headers: Record<string, string | undefined>,
): boolean => stream ?? /event-stream/.test(headers.accept ?? '')
