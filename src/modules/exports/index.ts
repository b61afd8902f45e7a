import { Elysia } from 'elysia'
import { attachment } from '../../lib/attachment'
import { ok } from '../../lib/page'
import { patient } from '../../lib/patient'
import type { Auth } from '../../plugins/auth'
import { describe } from '../../plugins/docs'
import { ExportId, ExportRequest, fileExample, progressExample } from './model'
import type { Exports } from './service'

const tag = 'Export and import'

export const exports = (auth: Auth, exports: Exports) =>
  new Elysia({ name: 'exports', prefix: '/v1/export' })
    .use(auth)
    .post('/conversations', async ({ user, body }) => sent(await exports.begin(user, body)), {
      beforeHandle: patient,
      body: ExportRequest,
      detail: describe({
        summary: 'Take my conversations away',
        description:
          "A file, streamed: `json` and `ndjson` hold everything (every branch, usage, cost) and can be imported again, `chatgpt` has the shape of ChatGPT's own `conversations.json`, `markdown` is the shown path of each, to read. The header `X-Export-Id` names it for `GET /v1/export/{id}`.",
        tag,
        example: fileExample,
        errors: ['NOT_FOUND', 'NOT_SUPPORTED'],
      }),
    })
    .get('/:id', ({ user, params }) => ok(exports.progress(user, params.id)), {
      params: ExportId,
      detail: describe({
        summary: 'How far an export is',
        description:
          '`state` is `running`, `done`, `failed` or `cancelled`. Kept for ten minutes after its last step, by the server that makes the file.',
        tag,
        example: ok(progressExample),
        errors: ['NOT_FOUND'],
      }),
    })

const sent = ({ id, name, contentType, pieces }: Awaited<ReturnType<Exports['begin']>>) =>
  attachment(pieces, { name, contentType, headers: { 'x-export-id': id } })
