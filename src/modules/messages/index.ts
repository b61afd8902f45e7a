import { Elysia } from 'elysia'
import { nativeAnswer, wantsStream } from '../../dialects/answer'
import { okTagged } from '../../lib/etag'
import { ok, paged } from '../../lib/page'
import { patient } from '../../lib/patient'
import { objectOnly } from '../../lib/problems'
import { turnOptions } from '../../lib/turn-options'
import type { Auth } from '../../plugins/auth'
import { describe } from '../../plugins/docs'
import {
  Again,
  completionExample,
  Edit,
  HistoryQuery,
  MessageId,
  messageExample,
  streamExample,
  ThreadQuery,
} from './model'
import type { Messages } from './service'

const tag = 'Messages'
const pageOf = (limit: number) => ok(paged([messageExample], { page: 1, limit }, 1))

export const messages = (auth: Auth, messages: Messages) =>
  new Elysia({ name: 'messages', prefix: '/v1/messages' })
    .use(auth)
    .get('/:id', async ({ user, params }) => ok(await messages.get(user, params.id)), {
      params: MessageId,
      detail: describe({
        summary: 'One message, with its place among the alternatives',
        description: 'Of an answer also `cost`: how what it cost came about, and the prices that it was rated with.',
        tag,
        example: ok({ ...messageExample, cost: completionExample.cost }),
        errors: ['NOT_FOUND', 'NOT_SUPPORTED'],
      }),
    })
    .patch(
      '/:id',
      async ({ user, params, body, headers, set }) =>
        okTagged(set, await messages.edit(user, params.id, body, headers['if-match'])),
      {
        params: MessageId,
        body: Edit,
        detail: describe({
          summary: 'Say it differently',
          description:
            "Makes another message beside the user's old one, which stays, and shows it. Nothing answers it yet: send `POST /v1/messages/{id}/regenerate` with the id of the new one. With `If-Match`, a change of an older state of the conversation is refused with 409; so is a message that is not the user's.",
          tag,
          example: ok({ ...messageExample, role: 'user', content: 'Hello, how is the weather?', model: null }),
          errors: ['NOT_FOUND', 'CONFLICT', 'NOT_SUPPORTED'],
        }),
      },
    )
    .post(
      '/:id/regenerate',
      async ({ user, params, body, headers, set }) =>
        nativeAnswer(
          await messages.regenerate(user, params.id, body, turnOptions(headers, set)),
          wantsStream(body, headers),
        ),
      {
        params: MessageId,
        body: Again,
        transform({ body }) {
          if (body !== undefined && body !== null) objectOnly({ body })
        },
        beforeHandle: patient,
        detail: describe({
          summary: 'Answer a message again',
          description:
            'As `POST /v1/chat/regenerate`: makes a sibling of an answer, or answers a message of the user, and shows it. `branch_name` names the branch that begins; none does where one ends already, as after an edit. One JSON object, or a stream when `stream` is `true` or the request accepts `text/event-stream`.',
          tag,
          example: completionExample,
          stream: streamExample,
          errors: [
            'NOT_FOUND',
            'CONFLICT',
            'PAYLOAD_TOO_LARGE',
            'UPSTREAM_ERROR',
            'UPSTREAM_UNAVAILABLE',
            'UPSTREAM_TIMEOUT',
          ],
        }),
      },
    )
    .get(
      '/:id/history',
      async ({ user, params, query: { page = 1, limit = 20 } }) =>
        ok(await messages.history(user, params.id, { page, limit })),
      {
        params: MessageId,
        query: HistoryQuery,
        detail: describe({
          summary: 'All versions of a message, oldest first',
          description: 'Itself and the alternatives to it: what was edited or answered again.',
          tag,
          example: pageOf(20),
          errors: ['NOT_FOUND', 'NOT_SUPPORTED'],
        }),
      },
    )
    .get(
      '/:id/thread',
      async ({ user, params, query: { page = 1, limit = 50 } }) =>
        ok(await messages.thread(user, params.id, { page, limit })),
      {
        params: MessageId,
        query: ThreadQuery,
        detail: describe({
          summary: 'What was said up to a message',
          description: 'The path from the first message to this one, oldest first; page 1 is the newest end.',
          tag,
          example: pageOf(50),
          errors: ['NOT_FOUND'],
        }),
      },
    )
    .delete(
      '/:id',
      async ({ user, params, headers, set }) =>
        okTagged(set, await messages.remove(user, params.id, headers['if-match'])),
      {
        params: MessageId,
        detail: describe({
          summary: 'Delete a message and all below it',
          description:
            'Answers being written there are stopped. A branch that ended there ends at the message above. With `If-Match`, a deletion on top of an older state of the conversation is refused with 409.',
          tag,
          example: ok({ id: messageExample.id, deleted: true, deleted_messages: 3 }),
          errors: ['NOT_FOUND', 'CONFLICT', 'NOT_SUPPORTED'],
        }),
      },
    )
