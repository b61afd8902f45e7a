import { Elysia } from 'elysia'
import { ok } from '../../lib/page'
import type { Auth } from '../../plugins/auth'
import { describe } from '../../plugins/docs'
import { SyncQuery, syncExample } from './model'
import type { Sync } from './service'

export const sync = <C, M extends { siblings: unknown }, R>(auth: Auth, sync: Sync<C, M, R>) =>
  new Elysia({ name: 'sync', prefix: '/v1' })
    .use(auth)
    .get('/sync', async ({ user, query: { since, limit = 100 } }) => ok(await sync.changes(user, { since, limit })), {
      query: SyncQuery,
      detail: describe({
        summary: 'What changed since I last asked',
        description:
          'Read until `more` is false, always with the last `cursor`, and apply each answer in this order: drop what `deletions` name (with a conversation all that is in it), then put what the other lists have in the place of what has the same id. A row may come again. Conversations, messages and runs have the fields that their own operations show; messages come without `siblings`. A message may come before the one above it. `reset`: the cursor is not of this database; drop everything, the answer begins anew.',
        tag: 'Conversations',
        example: ok(syncExample),
        errors: ['NOT_SUPPORTED'],
      }),
    })
