import { t } from 'elysia'
import type { Person } from '../../store/port-tenants'
import { pageFields } from '../paging'
import { AllowedModels, Limits, Name } from '../shapes'

export const PersonId = t.Object({ id: t.String({ format: 'uuid', description: 'The person' }) })

const inTenant = {
  tenant_id: t.Optional(
    t.String({ format: 'uuid', description: 'Default: my own. Another one is for the owner of the installation only' }),
  ),
}
export const InTenant = t.Object(inTenant)
export const PeopleQuery = t.Object({
  ...pageFields(20),
  ...inTenant,
  q: t.Optional(t.String({ minLength: 1, maxLength: 200, description: 'A part of the name or the e-mail' })),
})
export type PeopleQuery = typeof PeopleQuery.static

export const PersonChange = t.Object(
  {
    name: t.Optional(Name),
    role: t.Optional(
      t.Union([t.Literal('user'), t.Literal('admin'), t.Literal('owner')], {
        description: '`admin`: of their tenant. `owner`: of the installation; only owners make owners',
      }),
    ),
    disabled: t.Optional(t.Boolean({ description: 'They do not get in, and their sessions end' })),
    allowed_models: t.Optional(AllowedModels),
    limits: t.Optional(Limits),
  },
  {
    minProperties: 1,
    description: 'What is left out stays.',
    examples: [{ role: 'admin', allowed_models: null }],
  },
)
export type PersonChange = typeof PersonChange.static

export const personJson = (person: Person) => ({
  id: person.userId,
  tenant_id: person.tenantId,
  email: person.email,
  name: person.name,
  role: person.role,
  allowed_models: person.allowedModels,
  limits: person.limits,
  time_zone: person.timeZone,
  has_litellm_key: person.hasLitellmKey,
  disabled_at: person.disabledAt?.toISOString() ?? null,
  created_at: person.createdAt?.toISOString() ?? null,
})

export const personExample = {
  id: '0199c0de-0000-7000-8000-00000000000a',
  tenant_id: '0199c0de-0000-7000-8000-00000000000d',
  email: 'test@example.com',
  name: 'Test User',
  role: 'user',
  allowed_models: null,
  limits: null,
  time_zone: null,
  has_litellm_key: false,
  disabled_at: null,
  created_at: '2026-11-21T10:00:00.000Z',
} satisfies ReturnType<typeof personJson>
