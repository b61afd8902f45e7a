import { Elysia } from 'elysia'
import { etagOf } from '../../lib/etag'
import { ok, paged } from '../../lib/page'
import { idempotencyKey } from '../../lib/turn-options'
import type { Auth } from '../../plugins/auth'
import { describe } from '../../plugins/docs'
import {
  branchExample,
  ConversationId,
  conversationExample,
  emptyExample,
  ListQuery,
  listedExample,
  messageExample,
  NewConversation,
  Patch,
  PathQuery,
  statsExample,
  TreeQuery,
} from './model'
import type { Conversations } from './service'

const tag = 'Conversations'
const example = ok(conversationExample)
const pageOfOne = { page: 1, limit: 20 }

export const conversations = (auth: Auth, conversations: Conversations) =>
  new Elysia({ name: 'conversations', prefix: '/v1/conversations' })
    .use(auth)
    .get('', async ({ user, query }) => ok(await conversations.list(user, query)), {
      query: ListQuery,
      detail: describe({
        summary: 'My conversations: those that fit, a page of them',
        description:
          'Pinned ones first, then what changed last. Archived ones are left out unless asked for. `message_count` and `branch_count` are of the whole tree; null where counting would read every conversation.',
        tag,
        example: ok(paged([listedExample], pageOfOne, 1)),
        errors: ['NOT_SUPPORTED'],
      }),
    })
    .post(
      '',
      async ({ user, body, headers, set, status }) =>
        status(201, withETag(set, await conversations.create(user, body, idempotencyKey(headers)))),
      {
        body: NewConversation,
        detail: describe({
          summary: 'Make an empty conversation',
          description:
            'It has one branch, "Main", which begins with the first message. With `Idempotency-Key` a request that is sent again gives what the first one made.',
          tag,
          example: ok(emptyExample),
          status: 201,
          errors: ['CONFLICT', 'NOT_SUPPORTED'],
        }),
      },
    )
    .get('/:id', async ({ user, params, set }) => withETag(set, await conversations.get(user, params.id)), {
      params: ConversationId,
      detail: describe({
        summary: 'One conversation',
        tag,
        example,
        errors: ['NOT_FOUND'],
      }),
    })
    .get(
      '/:id/full',
      async ({ user, params, query: { page = 1, limit = 1000 } }) =>
        ok(await conversations.full(user, params.id, { page, limit })),
      {
        params: ConversationId,
        query: TreeQuery,
        detail: describe({
          summary: 'The whole tree: branches and all messages',
          description:
            'Messages of all branches, oldest first, up to 1000 a page: `parent_id` and `siblings` say where each belongs. Of the branches at most 1000, the oldest.',
          tag,
          example: ok({
            conversation: conversationExample,
            branches: [branchExample],
            messages: paged([messageExample], { page: 1, limit: 1000 }, 1),
          }),
          errors: ['NOT_FOUND'],
        }),
      },
    )
    .get('/:id/stats', async ({ user, params }) => ok(await conversations.stats(user, params.id)), {
      params: ConversationId,
      detail: describe({
        summary: 'What a conversation holds and what it cost',
        description: 'Of all branches. `cost_usd` leaves out answers whose price is not known.',
        tag,
        example: ok(statsExample),
        errors: ['NOT_FOUND'],
      }),
    })
    .get(
      '/:id/messages',
      async ({ user, params, query: { page = 1, limit = 50, leaf } }) =>
        ok(await conversations.messages(user, params.id, { page, limit, leaf })),
      {
        params: ConversationId,
        query: PathQuery,
        detail: describe({
          summary: 'The messages that are shown',
          description:
            'The path from the first message to the end of the active branch, oldest first; page 1 is the newest end. `siblings` tells how many alternatives there are at each step and which one this is.',
          tag,
          example: ok(paged([messageExample], { page: 1, limit: 50 }, 2)),
          errors: ['NOT_FOUND'],
        }),
      },
    )
    .patch(
      '/:id',
      async ({ user, params, body, headers, set }) =>
        withETag(set, await conversations.update(user, params.id, body, headers['if-match'])),
      {
        params: ConversationId,
        body: Patch,
        detail: describe({
          summary: 'Change a conversation: name, model, system prompt, settings, tags, pin, archive',
          description: 'With `If-Match` (the ETag of `GET`), an update of an older state is refused with 409.',
          tag,
          example,
          errors: ['NOT_FOUND', 'CONFLICT', 'NOT_SUPPORTED'],
        }),
      },
    )
    .delete(
      '/:id',
      async ({ user, params, headers }) => ok(await conversations.remove(user, params.id, headers['if-match'])),
      {
        params: ConversationId,
        detail: describe({
          summary: 'Delete a conversation with everything in it',
          description: 'With `If-Match`, a conversation that has changed since is left alone and the answer is 409.',
          tag,
          example: ok({ id: conversationExample.id, deleted: true }),
          errors: ['NOT_FOUND', 'CONFLICT'],
        }),
      },
    )

function withETag<T extends { rev: number }>(set: { headers: Record<string, unknown> }, conversation: T) {
  set.headers.etag = etagOf(conversation)
  return ok(conversation)
}
