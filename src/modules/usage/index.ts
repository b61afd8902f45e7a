import { Elysia } from 'elysia'
import { attachment } from '../../lib/attachment'
import { ok } from '../../lib/page'
import { patient } from '../../lib/patient'
import { administrator } from '../../plugins/admin'
import type { Auth } from '../../plugins/auth'
import { describe } from '../../plugins/docs'
import { AdminUsageQuery, adminUsageExample, ExportQuery, UsageQuery, usageExample } from './model'
import type { Usage } from './service'

export const usage = (auth: Auth, usage: Usage) =>
  new Elysia({ name: 'usage', prefix: '/v1/user' })
    .use(auth)
    .get('/usage', async ({ user, query }) => ok(await usage.of(user, query)), {
      query: UsageQuery,
      detail: describe({
        summary: 'What my answers took and cost',
        description: MINE,
        tag: 'Usage and money',
        example: ok(usageExample),
        errors: ['NOT_SUPPORTED'],
      }),
    })

export const adminUsage = (auth: Auth, usage: Usage) =>
  new Elysia({ name: 'admin-usage', prefix: '/v1/admin/usage' })
    .use(auth)
    .derive(administrator)
    .get('', async ({ user, query }) => ok(await usage.ofTenant(user, query)), {
      query: AdminUsageQuery,
      detail: describe({
        summary: 'What the answers of my tenant took and cost',
        description: `${TENANTS} Groups are named as \`group_by\` says: \`days\`, \`models\`, \`conversations\`, \`keys\`, \`users\` or \`providers\`.`,
        tag: 'Administration',
        example: ok(adminUsageExample),
        errors: ['FORBIDDEN', 'NOT_FOUND', 'NOT_SUPPORTED'],
      }),
    })
    .get('/export', async ({ user, query }) => file(await usage.export(user, query)), {
      beforeHandle: patient,
      query: ExportQuery,
      detail: describe({
        summary: 'Every single answer, as a file',
        description:
          'Streamed, the oldest first. `csv` is RFC 4180 with a header row, amounts with all their decimals; text that a spreadsheet would take for a formula has an apostrophe before it. `ndjson` has the usage as the provider reported it, and the cost by kind, besides.',
        tag: 'Administration',
        contentType: 'text/csv',
        example: 'id,created_at,completed_at,tenant_id,user_id,…\r\n',
        errors: ['FORBIDDEN', 'NOT_FOUND', 'NOT_SUPPORTED'],
      }),
    })

const file = ({ pieces, ...options }: Awaited<ReturnType<Usage['export']>>) => attachment(pieces, options)

const MINE =
  '`cost_usd` is what was charged. `success_rate` is the share of answers that did not fail, `saved_usd` what reading from the cache of the provider saved, `unpriced` the number of answers whose price nobody knows, `estimated` of those that this server counted because the provider did not. Days without an answer are left out. Groups are named as `group_by` says: `days`, `models`, `conversations` or `keys`.'

const TENANTS =
  '`cost_usd` is what the providers charge, `charged_usd` what was charged here: that, with the margin of the tenant.'
