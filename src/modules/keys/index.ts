import { Elysia, t } from 'elysia'
import { ok } from '../../lib/page'
import type { Auth } from '../../plugins/auth'
import { describe } from '../../plugins/docs'
import { keyExample, NewKey } from './model'
import type { Keys } from './service'

const tag = 'API keys'

export const keys = (auth: Auth, keys: Keys) =>
  new Elysia({ name: 'keys', prefix: '/v1/keys' })
    .use(auth)
    .post('', async ({ user, body, status }) => status(201, ok(await keys.create(user, body))), {
      body: NewKey,
      detail: describe({
        summary: 'Make an API key',
        description: 'The key is in this answer and never shown again. Use it as the `api_key` of any OpenAI client.',
        tag,
        example: ok({ ...keyExample, key: 'sk-orc-…' }),
        status: 201,
        errors: ['FORBIDDEN', 'CONFLICT'],
      }),
    })
    .get('', async ({ user }) => ok(await keys.list(user)), {
      detail: describe({
        summary: 'My API keys',
        tag,
        example: ok([keyExample]),
      }),
    })
    .delete('/:id', async ({ user, params }) => ok(await keys.remove(user, params.id)), {
      params: t.Object({ id: t.String({ format: 'uuid' }) }),
      detail: describe({
        summary: 'Delete an API key',
        description: 'It stops working at once here, and within five seconds on other servers.',
        tag,
        example: ok({ id: keyExample.id, deleted: true }),
        errors: ['FORBIDDEN', 'NOT_FOUND'],
      }),
    })
