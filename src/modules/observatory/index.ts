import { Elysia } from 'elysia'
import { replayed } from '../../dialects/answer'
import { observatoryFrames, parseFrameId } from '../../dialects/observatory'
import type { ErrorCode } from '../../errors'
import { mapIterator } from '../../lib/iterate'
import { patient } from '../../lib/patient'
import { objectOnly } from '../../lib/problems'
import { sseHead, sseResponse } from '../../lib/sse'
import { idempotencyKey, turnOptions } from '../../lib/turn-options'
import type { Auth } from '../../plugins/auth'
import { describe } from '../../plugins/docs'
import {
  conversationExample,
  feedbackExample,
  messagesExample,
  repliedExample,
  streamExample,
  toldExample,
} from './examples'
import {
  Changes,
  ConversationId,
  ListQuery,
  MessagesQuery,
  NewConversation,
  NewFeedback,
  Question,
  StreamQuery,
} from './model'
import type { Observatory, Streamed } from './service'

const tag = 'Observatory'
const ANSWERING: ErrorCode[] = [
  'NOT_FOUND',
  'CONFLICT',
  'BAD_REQUEST',
  'UPSTREAM_ERROR',
  'UPSTREAM_UNAVAILABLE',
  'UPSTREAM_TIMEOUT',
]

/** The chat API of the LLM Observatory: its addresses, plain JSON, FastAPI's errors. */
export const observatory = (auth: Auth, observatory: Observatory) =>
  new Elysia({ name: 'observatory', prefix: '/api/v1/conversations' })
    .use(auth)
    .onBeforeHandle(patient)
    .post(
      '',
      async ({ user, body, headers, status }) =>
        status(201, await observatory.create(user, body, idempotencyKey(headers))),
      {
        transform: objectOnly,
        body: NewConversation,
        detail: describe({
          summary: 'Make a conversation',
          description:
            '`user_id` is a word of yours, kept and given back; whose the conversation is, the token says. `Idempotency-Key` is honoured.',
          tag,
          example: conversationExample,
          status: 201,
          errors: ['CONFLICT', 'NOT_SUPPORTED'],
        }),
      },
    )
    .get(
      '',
      ({ user, query: { limit = 20, offset = 0, user_id } }) => observatory.list(user, { limit, offset, user_id }),
      {
        query: ListQuery,
        detail: describe({
          summary: 'My conversations, changed last first',
          tag,
          example: [conversationExample],
          errors: ['NOT_SUPPORTED'],
        }),
      },
    )
    .get('/:id', ({ user, params }) => observatory.get(user, params.id), {
      params: ConversationId,
      detail: describe({
        summary: 'One conversation, with the end of its messages',
        description:
          'The last 100 messages of the path that is shown, oldest first, and how many there are. The others: `/messages`.',
        tag,
        example: toldExample,
        errors: ['NOT_FOUND'],
      }),
    })
    .patch('/:id', ({ user, params, body }) => observatory.update(user, params.id, body), {
      transform: objectOnly,
      params: ConversationId,
      body: Changes,
      detail: describe({
        summary: 'Rename a conversation, change what is kept with it',
        tag,
        example: conversationExample,
        errors: ['NOT_FOUND', 'NOT_SUPPORTED'],
      }),
    })
    .delete('/:id', async ({ user, params }) => nothing(await observatory.remove(user, params.id)), {
      params: ConversationId,
      detail: describe({
        summary: 'Delete a conversation with everything in it',
        description: 'Answers with an empty body.',
        tag,
        example: null,
        status: 204,
        errors: ['NOT_FOUND'],
      }),
    })
    .post(
      '/:id/messages',
      async ({ user, params, body, headers, set }) =>
        told(await observatory.send(user, params.id, body, turnOptions(headers, set))),
      {
        params: ConversationId,
        body: Question,
        detail: describe({
          summary: 'Say something, wait for the answer',
          description: 'With tokens, cost and times of the answer. `Idempotency-Key` is honoured.',
          tag,
          example: repliedExample,
          errors: ANSWERING,
        }),
      },
    )
    .get(
      '/:id/messages',
      ({ user, params, query: { limit = 50, offset = 0 } }) => observatory.messages(user, params.id, { limit, offset }),
      {
        params: ConversationId,
        query: MessagesQuery,
        detail: describe({
          summary: 'The messages of a conversation, oldest first',
          description: 'Those of the path that is shown.',
          tag,
          example: messagesExample,
          errors: ['NOT_FOUND'],
        }),
      },
    )
    .get(
      '/:id/stream',
      async ({ user, params, query, headers, set }) =>
        streamed(
          await observatory.stream(user, params.id, query, {
            ...turnOptions(headers, set),
            resumed: parseFrameId(headers['last-event-id']),
          }),
        ),
      {
        beforeHandle: onlyLooking,
        params: ConversationId,
        query: StreamQuery,
        detail: describe({
          summary: 'Say something, read the answer as it is made',
          description: STREAM,
          tag,
          stream: streamExample,
          errors: ANSWERING,
        }),
      },
    )
    .post(
      '/:id/feedback',
      async ({ user, params, body, status }) => status(201, await observatory.feedback(user, params.id, body)),
      {
        params: ConversationId,
        body: NewFeedback,
        detail: describe({
          summary: 'Say what I think of a message',
          description: 'One opinion per person and message: said again, it replaces the older one.',
          tag,
          example: feedbackExample,
          status: 201,
          errors: ['NOT_FOUND', 'CONFLICT', 'NOT_SUPPORTED'],
        }),
      },
    )

/** A GET that has an effect: HEAD, as browsers and previews of links send it, must not have it. */
function onlyLooking({ request }: { request: Request }): Response | undefined {
  return request.method === 'HEAD' ? sseHead() : undefined
}

const nothing = (_done?: unknown) => new Response(null, { status: 204 })

const told = ({ body, replayed: again }: { body: object; replayed: boolean }) =>
  replayed({ replayed: again }, Response.json(body))

/** Nothing left to read is 204: a browser that reconnects by itself takes it for the end. */
function streamed({ run, events, over, endOnly, replayed: again }: Streamed) {
  if (over) return nothing()
  const encode = observatoryFrames({ runId: run.id, messageId: run.messageId, endOnly })
  return replayed({ replayed: again }, sseResponse(mapIterator(events, encode)))
}

const STREAM = `\`data: {"content": …, "done": false}\` for each piece, at the end \`{"content": "", "done": true, "message_id": …}\` or \`{"error": …, "done": true}\`. What goes wrong before the first piece has a status.

The answer is made whether or not anyone listens. Frames have ids: with the last one as \`Last-Event-ID\`, as browsers send it when they reconnect by themselves, this is the rest of that answer, and nothing is said twice; 204 when there is no rest.`
