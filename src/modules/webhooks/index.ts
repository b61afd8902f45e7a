import { Elysia } from 'elysia'
import { AppError } from '../../errors'
import { ok } from '../../lib/page'
import type { Auth } from '../../plugins/auth'
import { describe } from '../../plugins/docs'
import { statusExample } from './model'
import type { Webhooks } from './service'

export const webhooks = (auth: Auth, webhooks: Webhooks) =>
  new Elysia({ name: 'webhooks', prefix: '/v1/admin' })
    .use(auth)
    .derive(({ user }) => {
      // Events of all tenants wait together.
      if (user.role !== 'owner') throw new AppError('FORBIDDEN', 'This is for the owner of the installation')
      return {}
    })
    .get('/webhooks', async () => ok(await webhooks.status()), {
      detail: describe({
        summary: 'How webhooks go',
        description:
          'What waits to be told, on all servers, and since when; what was last told and what went wrong last, on the server that answers.',
        tag: 'Administration',
        example: ok(statusExample),
        errors: ['FORBIDDEN', 'NOT_SUPPORTED'],
      }),
    })
