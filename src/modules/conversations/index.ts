import { Elysia } from 'elysia'
import { ok, paged } from '../../lib/page'
import type { Auth } from '../../plugins/auth'
import { describe } from '../../plugins/docs'
import { ConversationId, conversationExample, messageExample, PageQuery, Patch, PathQuery } from './model'
import { type Conversations, etagOf } from './service'

const tag = 'Conversations'
const example = ok(conversationExample)
const pageOfOne = { page: 1, limit: 20 }

export const conversations = (auth: Auth, conversations: Conversations) =>
  new Elysia({ name: 'conversations', prefix: '/v1/conversations' })
    .use(auth)
    .get('', async ({ user, query: { page = 1, limit = 20 } }) => ok(await conversations.list(user, { page, limit })), {
      query: PageQuery,
      detail: describe({
        summary: 'My conversations, latest first',
        tag,
        example: ok(paged([conversationExample], pageOfOne, 1)),
      }),
    })
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
          summary: 'Rename a conversation, choose its model or system prompt',
          description: 'With `If-Match` (the ETag of `GET`), an update of an older state is refused with 409.',
          tag,
          example,
          errors: ['NOT_FOUND', 'CONFLICT'],
        }),
      },
    )
    .delete('/:id', async ({ user, params }) => ok(await conversations.remove(user, params.id)), {
      params: ConversationId,
      detail: describe({
        summary: 'Delete a conversation with everything in it',
        tag,
        example: ok({ id: conversationExample.id, deleted: true }),
        errors: ['NOT_FOUND'],
      }),
    })

function withETag<T extends { rev: number }>(set: { headers: Record<string, unknown> }, conversation: T) {
  set.headers.etag = etagOf(conversation)
  return ok(conversation)
}
