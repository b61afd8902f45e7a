import { Elysia } from 'elysia'
import { ok, paged } from '../../lib/page'
import { onlyFieldsOf } from '../../lib/problems'
import { administrator, installationOwner } from '../../plugins/admin'
import type { Auth } from '../../plugins/auth'
import { describe } from '../../plugins/docs'
import {
  KeyOfTenant,
  NewProviderKey,
  NewTenant,
  providerKeyExample,
  TenantChange,
  TenantId,
  TenantsQuery,
  tenantExample,
} from './model'
import type { Tenants } from './service'

const tag = 'Administration'
const OWNER = 'For the owner of the installation.'
const KEYS = 'For administrators of the tenant, and the owner of the installation.'

/** What administrators see of their own tenant. */
export const ownTenant = (auth: Auth, tenants: Tenants) =>
  new Elysia({ name: 'own-tenant', prefix: '/v1/admin/tenants' })
    .use(auth)
    .derive(administrator)
    .get('/:id', async ({ user, params }) => ok(await tenants.get(user, params.id)), {
      params: TenantId,
      detail: describe({
        summary: 'A tenant',
        description: "Administrators see their own, the owner of the installation anybody's.",
        tag,
        example: ok(tenantExample),
        errors: ['FORBIDDEN', 'NOT_FOUND'],
      }),
    })
    .get('/:id/provider-keys', async ({ user, params }) => ok(await tenants.keys(user, params.id)), {
      params: TenantId,
      detail: describe({
        summary: "A tenant's own keys at providers",
        description: `${KEYS} Of each its last four characters, never the key.`,
        tag,
        example: ok([providerKeyExample]),
        errors: ['FORBIDDEN', 'NOT_FOUND'],
      }),
    })
    .put(
      '/:id/provider-keys/:provider',
      async ({ user, params, body }) => ok(await tenants.setKey(user, params, body.key)),
      {
        params: KeyOfTenant,
        body: NewProviderKey,
        transform: onlyFieldsOf(NewProviderKey),
        detail: describe({
          summary: "Set a tenant's own key at a provider",
          description: `${KEYS} The provider gets it in place of the server's key for all that people of this tenant ask. It is encrypted before it is stored.`,
          tag,
          example: ok(providerKeyExample),
          errors: ['FORBIDDEN', 'NOT_FOUND'],
        }),
      },
    )
    .delete('/:id/provider-keys/:provider', async ({ user, params }) => ok(await tenants.removeKey(user, params)), {
      params: KeyOfTenant,
      detail: describe({
        summary: "Remove a tenant's own key at a provider",
        description: `${KEYS} From then on the server's key is used there.`,
        tag,
        example: ok({ provider: providerKeyExample.provider, deleted: true }),
        errors: ['FORBIDDEN', 'NOT_FOUND'],
      }),
    })

/** What is done with tenants. */
export const tenants = (auth: Auth, tenants: Tenants) =>
  new Elysia({ name: 'tenants', prefix: '/v1/admin/tenants' })
    .use(auth)
    .derive(installationOwner)
    .get('', async ({ query: { page = 1, limit = 20 } }) => ok(await tenants.list({ page, limit })), {
      query: TenantsQuery,
      detail: describe({
        summary: 'All tenants',
        description: `${OWNER} In the order of their making.`,
        tag,
        example: ok(paged([tenantExample], { page: 1, limit: 20 }, 1)),
        errors: ['FORBIDDEN'],
      }),
    })
    .post('', async ({ body, status }) => status(201, ok(await tenants.create(body))), {
      body: NewTenant,
      transform: onlyFieldsOf(NewTenant),
      detail: describe({
        summary: 'Make a tenant',
        description: OWNER,
        tag,
        example: ok(tenantExample),
        status: 201,
        errors: ['FORBIDDEN', 'CONFLICT'],
      }),
    })
    .patch('/:id', async ({ user, params, body }) => ok(await tenants.update(user, params.id, body)), {
      params: TenantId,
      body: TenantChange,
      transform: onlyFieldsOf(TenantChange),
      detail: describe({
        summary: 'Change a tenant',
        description: `${OWNER} A disabled tenant's people are signed out: at once here, within five seconds on other servers.`,
        tag,
        example: ok(tenantExample),
        errors: ['FORBIDDEN', 'NOT_FOUND', 'CONFLICT'],
      }),
    })
