import { Elysia } from 'elysia'
import { replayed } from '../../dialects/answer'
import {
  pendingResponse,
  responseFrames,
  responseObject,
  responseOfRun,
  responseRunFrames,
} from '../../dialects/responses'
import { fromResponses } from '../../dialects/responses-in'
import { itemPage, itemsOf, referredIn, withReferred } from '../../dialects/responses-items'
import { echoOf, type ResponseHeader } from '../../dialects/responses-object'
import type { ErrorCode } from '../../errors'
import { endWhen, mapIterator, primed } from '../../lib/iterate'
import { patient } from '../../lib/patient'
import { sseResponse } from '../../lib/sse'
import { mayRestart, turnOptions } from '../../lib/turn-options'
import type { Auth } from '../../plugins/auth'
import { describe } from '../../plugins/docs'
import type { RunBatch } from '../../runs/port'
import type { User } from '../../store/port'
import type { Answer } from '../chat/service'
import {
  deletedExample,
  ItemsQuery,
  itemsExample,
  ResponseId,
  ResponseQuery,
  ResponsesBody,
  ResponsesHeaders,
  responseExample,
  responseStreamExample,
} from './model'
import type { Responses, StoredResponse } from './service'

const tag = 'Responses'
const ERRORS: ErrorCode[] = [
  'INSUFFICIENT_BALANCE',
  'FORBIDDEN',
  'NOT_FOUND',
  'CONFLICT',
  'PAYLOAD_TOO_LARGE',
  'UPSTREAM_ERROR',
  'UPSTREAM_UNAVAILABLE',
  'UPSTREAM_TIMEOUT',
]

/** OpenAI's Responses API, whichever provider answers. */
export const responses = (auth: Auth, responses: Responses) =>
  new Elysia({ name: 'responses', prefix: '/v1/responses' })
    .use(auth)
    .onBeforeHandle(patient)
    .post(
      '',
      async ({ user, body, headers, request, set }) => {
        const restarts = mayRestart(headers)
        const referred = await responses.messages(user, referredIn(body.input))
        const asked = fromResponses(withReferred(body, referred))
        if (body.store === false) {
          return stateless(responses, user, { asked, stream: body.stream ?? false, restarts, left: request.signal })
        }
        const answer = await responses.create(user, asked, { body, ...turnOptions(headers, set) })
        return stored(answer, { header: headerOf(answer.run, asked.echo), stream: body.stream ?? false, restarts })
      },
      {
        body: ResponsesBody,
        headers: ResponsesHeaders,
        detail: describe({
          summary: 'Create a response',
          description: CREATE,
          tag,
          example: responseExample,
          stream: responseStreamExample,
          errors: ERRORS,
        }),
      },
    )
    .get(
      '/:id',
      async ({ user, params, query, headers }) => {
        const found = await responses.find(user, params.id)
        if (!query.stream) return whole(responses, user, found)
        const header = headerOf(found.run, found.echo)
        const events = await responses.events(user, found)
        return stream(events, { header, restarts: mayRestart(headers), after: query.starting_after })
      },
      {
        params: ResponseId,
        query: ResponseQuery,
        headers: ResponsesHeaders,
        detail: describe({
          summary: 'One response',
          description: GET,
          tag,
          example: responseExample,
          stream: responseStreamExample,
          errors: ['NOT_FOUND', 'CONFLICT'],
        }),
      },
    )
    .delete(
      '/:id',
      async ({ user, params }) => {
        await responses.remove(user, params.id)
        return { id: params.id, object: 'response', deleted: true }
      },
      {
        params: ResponseId,
        detail: describe({
          summary: 'Delete a response',
          description: DELETE,
          tag,
          example: deletedExample,
          errors: ['NOT_FOUND', 'CONFLICT', 'NOT_SUPPORTED'],
        }),
      },
    )
    .post('/:id/cancel', async ({ user, params }) => whole(responses, user, await responses.cancel(user, params.id)), {
      params: ResponseId,
      detail: describe({
        summary: 'Stop a response',
        description: 'What was delivered is kept, and its status is `cancelled`. Too late, it changes nothing.',
        tag,
        example: { ...responseExample, status: 'cancelled' },
        errors: ['NOT_FOUND', 'CONFLICT'],
      }),
    })
    .get(
      '/:id/input_items',
      async ({ user, params, query }) => itemPage((await responses.input(user, params.id)).flatMap(itemsOf), query),
      {
        params: ResponseId,
        query: ItemsQuery,
        detail: describe({
          summary: 'What a response was asked',
          description: 'The items of its own request, the latest first unless `order=asc`; not what was said before.',
          tag,
          example: itemsExample,
          errors: ['NOT_FOUND'],
        }),
      },
    )

/** An answer that another API asked for has nothing to repeat. */
const headerOf = ({ id, messageId, model, createdAt }: Answer['run'], echo = echoOf({})): ResponseHeader => ({
  id: `resp_${id.replaceAll('-', '')}`,
  created: Math.floor(createdAt.getTime() / 1000),
  model,
  echo,
  key: messageId ?? id,
})

async function whole(responses: Responses, user: User, found: StoredResponse) {
  const { run, running, echo } = found
  const header = headerOf(run, echo)
  if (!running) return responseOfRun(await responses.events(user, found), header, 'is told')
  return pendingResponse(header, factsOf(run))
}

const factsOf = ({ id, conversationId, branchId, messageId }: Answer['run']) => ({
  conversation_id: conversationId,
  branch_id: branchId,
  message_id: messageId,
  run_id: id,
})

interface Streamed {
  header: ResponseHeader
  restarts: boolean
  after?: number | undefined
}

function stream(events: AsyncIterableIterator<RunBatch>, options: Streamed) {
  const { encode, over } = responseRunFrames(options)
  return sseResponse(endWhen(mapIterator(events, encode), over))
}

async function stored(answer: Answer, { stream: streams, ...options }: Streamed & { stream: boolean }) {
  const response = streams ? stream(answer.events, options) : Response.json(await inOne(answer, options.header))
  return replayed(answer, response)
}

async function inOne({ run, events }: Answer, header: ResponseHeader) {
  if (!header.echo.background) return responseOfRun(events, header, 'throws')
  await events.return?.()
  return pendingResponse(header, factsOf(run))
}

interface Stateless {
  asked: ReturnType<typeof fromResponses>
  stream: boolean
  restarts: boolean
  left: AbortSignal
}

/** The answer belongs to the connection: when the client leaves, the model is stopped. */
async function stateless(responses: Responses, user: User, { asked, stream, restarts, left }: Stateless) {
  const abort = new AbortController()
  left.addEventListener('abort', () => abort.abort(), { once: true })
  const reader = { left: abort.signal, mayRestart: restarts || !stream }
  const { header, events } = await responses.stateless(user, asked, reader)
  const key = header.id.replace('chatcmpl-', '')
  const named = { ...header, id: `resp_${key.replaceAll('-', '')}`, echo: asked.echo, key }
  if (!stream) return Response.json(await responseObject(events, named))
  const first = await primed(events[Symbol.asyncIterator]())
  return sseResponse(responseFrames(first, { header: named, restarts }), { onCancel: () => abort.abort() })
}

const CREATE = `OpenAI's Responses API for any model: messages, images, PDFs, functions and their outputs, reasoning, structured output. Errors have OpenAI's shape and statuses. Streams as OpenAI's events when \`stream\` is true.

Each response is kept in a conversation, which \`conversation.id\` names: a new one; that of \`previous_response_id\`, below that answer (a branch when something else follows it already); or the end of the one that \`conversation\` names. A kept response is finished whether or not anyone listens, and a stream that was cut is taken up with \`GET /v1/responses/{id}?stream=true&starting_after=n\`. With \`background\` the answer comes at once, unfinished. With \`store: false\` nothing is kept, and the model is stopped when the client leaves.

\`instructions\` are for this turn. System messages in the input become the system prompt of a new conversation. Tools that OpenAI's servers run (\`web_search\`, \`file_search\`, \`mcp\`, …) and files by id are refused. When an answer has to begin anew, because its provider broke off, the stream ends with an error; after \`X-Stream-Restart: allow\` the open item is closed as \`incomplete\` and a new one begins.

\`Idempotency-Key\`: the same key with the same body answers with what the first request made; a kept response also while it is still being written.`

const GET = `As it is now: \`in_progress\`, \`completed\`, \`incomplete\`, \`failed\` or \`cancelled\`. With \`stream=true\` its events, those there are and those to come; \`starting_after\` leaves out those up to that \`sequence_number\`. Some time after its end the single pieces are not kept any more: then the events with whole texts follow. Answers that another API asked for are responses, too.`

const DELETE = `With the whole conversation when nothing else was said in it. Otherwise it is a response no more, but its messages stay in the conversation, where others may go on from them, until \`DELETE /v1/conversations/{id}\`.`
