import { Type } from '@sinclair/typebox'
import { t } from 'elysia'
import { isUuid } from '../../lib/ids'
import type { ProviderKey, Tenant } from '../../store/port-tenants'
import { pageFields } from '../paging'
import { AllowedModels, Limits, Name } from '../shapes'

export const TenantId = t.Object({ id: t.String({ format: 'uuid', description: 'The tenant' }) })
export const TenantsQuery = t.Object(pageFields(20))

const fields = {
  slug: t.Optional(
    t.Nullable(
      t.String({
        maxLength: 63,
        pattern: '^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$',
        description: 'What tokens of the outside issuer may call it; no other tenant may have the same',
        'x-must': 'must be 1 to 63 small letters, digits and hyphens, with no hyphen at either end',
      }),
    ),
  ),
  allowed_models: t.Optional(AllowedModels),
  margin_bp: t.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 1_000_000,
      description: "What is added to the provider's price, in hundredths of a percent: 2000 is a fifth more",
    }),
  ),
  billing: t.Optional(
    t.Nullable(
      t.Union([t.Literal('metered'), t.Literal('prepaid')], {
        description: 'Whether its people pay in advance; null: as `BILLING` says',
      }),
    ),
  ),
  limits: t.Optional(Limits),
}

export const NewTenant = t.Object(
  { name: Name, ...fields },
  { examples: [{ name: 'Acme', slug: 'acme', margin_bp: 2000, allowed_models: ['demo/eliza'] }] },
)
export type NewTenant = typeof NewTenant.static

export const TenantChange = t.Object(
  { name: t.Optional(Name), ...fields, disabled: t.Optional(t.Boolean({ description: 'Nobody of it gets in' })) },
  {
    minProperties: 1,
    description: 'What is left out stays.',
    examples: [{ allowed_models: ['demo/eliza'], billing: 'prepaid' }],
  },
)
export type TenantChange = typeof TenantChange.static

/** What looks like an id would be taken for one. */
export const isSlug = (text: string): boolean => !isUuid(text)

export const KeyOfTenant = t.Object({
  id: t.String({ format: 'uuid', description: 'The tenant' }),
  provider: t.String({ minLength: 1, maxLength: 100, description: 'As this server calls it, e.g. `openai`' }),
})

export const NewProviderKey = t.Object(
  {
    key: t.String({
      minLength: 8,
      maxLength: 1000,
      pattern: '^[\\x21-\\x7e]+$',
      'x-must': 'must be 8 to 1000 visible ASCII characters without spaces',
    }),
  },
  { examples: [{ key: 'sk-proj-0123456789' }] },
)
export type NewProviderKey = typeof NewProviderKey.static

export const tenantJson = (tenant: Tenant) => ({
  id: tenant.id,
  name: tenant.name,
  slug: tenant.slug,
  allowed_models: tenant.allowedModels,
  margin_bp: tenant.marginBp,
  billing: tenant.billing,
  limits: tenant.limits,
  disabled_at: tenant.disabledAt?.toISOString() ?? null,
  created_at: tenant.createdAt.toISOString(),
  updated_at: tenant.updatedAt.toISOString(),
})

export const providerKeyJson = ({ provider, lastFour, createdAt }: ProviderKey) => ({
  provider,
  last_four: lastFour,
  created_at: createdAt.toISOString(),
})

export const tenantExample = {
  id: '0199c0de-0000-7000-8000-00000000000d',
  name: 'Acme',
  slug: 'acme',
  allowed_models: ['demo/eliza'],
  margin_bp: 2000,
  billing: null,
  limits: null,
  disabled_at: null,
  created_at: '2026-11-21T10:00:00.000Z',
  updated_at: '2026-11-21T10:00:00.000Z',
} satisfies ReturnType<typeof tenantJson>

export const providerKeyExample = {
  provider: 'demo',
  last_four: '6789',
  created_at: '2026-11-21T10:00:00.000Z',
} satisfies ReturnType<typeof providerKeyJson>
