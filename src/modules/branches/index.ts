import { Elysia } from 'elysia'
import type { ErrorCode } from '../../errors'
import { okTagged } from '../../lib/etag'
import { ok, paged } from '../../lib/page'
import { idempotencyKey } from '../../lib/turn-options'
import type { Auth } from '../../plugins/auth'
import { describe } from '../../plugins/docs'
import {
  BranchId,
  branchExample,
  CompareQuery,
  ConversationId,
  comparisonExample,
  Merge,
  NewBranch,
  PageQuery,
  Rename,
} from './model'
import type { Branches } from './service'

const tag = 'Branches'
const READ: ErrorCode[] = ['NOT_FOUND', 'NOT_SUPPORTED']
const WRITE: ErrorCode[] = ['NOT_FOUND', 'CONFLICT', 'NOT_SUPPORTED']
const IF_MATCH = 'With `If-Match`, a change of an older state of the conversation is refused with 409.'

export const branches = (auth: Auth, branches: Branches) =>
  new Elysia({ name: 'branches', prefix: '/v1/conversations/:id/branches' })
    .use(auth)
    .get(
      '',
      async ({ user, params, query: { page = 1, limit = 20 } }) =>
        ok(await branches.list(user, params.id, { page, limit })),
      {
        params: ConversationId,
        query: PageQuery,
        detail: describe({
          summary: 'The branches of a conversation, in the order of their making',
          description:
            'A branch is a named end of the tree: `leaf_id`. `message_count` is the length of the path to it.',
          tag,
          example: ok(paged([branchExample], { page: 1, limit: 20 }, 1)),
          errors: READ,
        }),
      },
    )
    .post(
      '',
      async ({ user, params, body, headers, set }) =>
        okTagged(set, await branches.create(user, params.id, body, { ...headers, key: idempotencyKey(headers) })),
      {
        params: ConversationId,
        body: NewBranch,
        detail: describe({
          summary: 'Begin a branch at any message, and show it',
          description: `What is said next is said below that message. Where a branch ends already, it is that one. ${IF_MATCH}`,
          tag,
          example: ok(branchExample),
          errors: WRITE,
        }),
      },
    )
    .get('/compare', async ({ user, params, query }) => ok(await branches.compare(user, params.id, query)), {
      params: ConversationId,
      query: CompareQuery,
      detail: describe({
        summary: 'Where two branches part, and what each has beyond',
        description:
          '`a` and `b` are pages of the same number: what each has after the last common message, oldest first.',
        tag,
        example: ok(comparisonExample),
        errors: READ,
      }),
    })
    .patch(
      '/:branch_id',
      async ({ user, params, body, headers, set }) => okTagged(set, await branches.rename(user, params, body, headers)),
      {
        params: BranchId,
        body: Rename,
        detail: describe({
          summary: 'Rename a branch',
          description: IF_MATCH,
          tag,
          example: ok(branchExample),
          errors: WRITE,
        }),
      },
    )
    .delete(
      '/:branch_id',
      async ({ user, params, headers, set }) => okTagged(set, await branches.remove(user, params, headers)),
      {
        params: BranchId,
        detail: describe({
          summary: 'Delete a branch with the messages that only it has',
          description: `An answer being written there is stopped. Of the others, the one viewed last is shown in its place. The last branch stays. ${IF_MATCH}`,
          tag,
          example: ok({ id: branchExample.id, deleted: true, deleted_messages: 2 }),
          errors: WRITE,
        }),
      },
    )
    .post(
      '/:branch_id/activate',
      async ({ user, params, headers, set }) => okTagged(set, await branches.activate(user, params, headers)),
      {
        params: BranchId,
        detail: describe({
          summary: 'Show a branch',
          description: `Its end is the active leaf from now on, on every device. ${IF_MATCH}`,
          tag,
          example: ok(branchExample),
          errors: WRITE,
        }),
      },
    )
    .post(
      '/:branch_id/merge',
      async ({ user, params, body, headers, set }) =>
        okTagged(set, await branches.merge(user, params, body, { ...headers, key: idempotencyKey(headers) })),
      {
        params: BranchId,
        body: Merge,
        detail: describe({
          summary: 'Copy what a branch has onto the end of another',
          description: `Its messages after the last common one, as new messages with new ids; the branch itself stays. The other branch is shown from now on. With an \`Idempotency-Key\`, a request that comes again copies nothing. ${IF_MATCH}`,
          tag,
          example: ok({ ...branchExample, copied_messages: 2 }),
          errors: WRITE,
        }),
      },
    )
