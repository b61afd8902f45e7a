import { Elysia } from 'elysia'
import { ok } from '../../lib/page'
import type { Auth } from '../../plugins/auth'
import { describe } from '../../plugins/docs'
import { BatchDelete, BatchUpdate, deleteExample, updateExample } from './model'
import type { Batch } from './service'

const tag = 'Conversations'

export const batch = (auth: Auth, batch: Batch) =>
  new Elysia({ name: 'batch', prefix: '/v1/conversations/batch' })
    .use(auth)
    .post('', async ({ user, body }) => ok(await batch.update(user, body)), {
      body: BatchUpdate,
      detail: describe({
        summary: 'Change many conversations',
        description:
          'Titles, models, tags, archive and pin of up to 100, in one transaction. `results` says of each whether it was done. With `all_or_nothing` nothing is changed unless all are there (404, with `details.results`).',
        tag,
        example: ok(updateExample),
        errors: ['NOT_FOUND', 'NOT_SUPPORTED'],
      }),
    })
    .delete('', async ({ user, body }) => ok(await batch.remove(user, body)), {
      body: BatchDelete,
      detail: describe({
        summary: 'Delete many conversations, in two steps',
        description:
          'By `ids` (up to 1000) or by `filter`. With `dry_run` it says what would go and answers with a `confirmation_token`, good for ten minutes. The same request with that token instead of `dry_run` deletes exactly these (`{ "dry_run": false, "deleted": 1 }`); when the filter fits others by now, it is refused with 409.',
        tag,
        example: ok(deleteExample),
        errors: ['CONFLICT', 'NOT_SUPPORTED'],
      }),
    })
