import { Elysia } from 'elysia'
import { ok, paged } from '../../lib/page'
import { onlyFieldsOf } from '../../lib/problems'
import { administrator } from '../../plugins/admin'
import type { Auth } from '../../plugins/auth'
import { describe } from '../../plugins/docs'
import { InTenant, PeopleQuery, PersonChange, PersonId, personExample } from './model'
import type { People } from './service'

const tag = 'Administration'
const WHOSE = "Administrators see the people of their tenant, the owner of the installation anybody's by `tenant_id`."

export const people = (auth: Auth, people: People) =>
  new Elysia({ name: 'people', prefix: '/v1/admin/users' })
    .use(auth)
    .derive(administrator)
    .get('', async ({ user, query }) => ok(await people.list(user, query)), {
      query: PeopleQuery,
      detail: describe({
        summary: 'The people of a tenant',
        description: `${WHOSE} The newest first.`,
        tag,
        example: ok(paged([personExample], { page: 1, limit: 20 }, 1)),
        errors: ['FORBIDDEN', 'NOT_FOUND', 'NOT_SUPPORTED'],
      }),
    })
    .get(
      '/:id',
      async ({ user, params, query }) => ok(await people.get(user, { id: params.id, tenantId: query.tenant_id })),
      {
        params: PersonId,
        query: InTenant,
        detail: describe({
          summary: 'A person',
          description: WHOSE,
          tag,
          example: ok(personExample),
          errors: ['FORBIDDEN', 'NOT_FOUND', 'NOT_SUPPORTED'],
        }),
      },
    )
    .patch(
      '/:id',
      async ({ user, params, query, body }) =>
        ok(await people.update(user, { id: params.id, tenantId: query.tenant_id }, body)),
      {
        params: PersonId,
        query: InTenant,
        body: PersonChange,
        transform: onlyFieldsOf(PersonChange),
        detail: describe({
          summary: 'Change a person',
          description: `${WHOSE} Takes effect at once here, within five seconds on other servers, also for API keys and sessions in use. Only owners make owners and change them; nobody changes their own role or disables themselves; and there is always an owner left.`,
          tag,
          example: ok({ ...personExample, role: 'admin' as const }),
          errors: ['FORBIDDEN', 'NOT_FOUND', 'CONFLICT', 'NOT_SUPPORTED'],
        }),
      },
    )
