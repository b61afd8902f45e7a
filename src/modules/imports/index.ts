import { Elysia } from 'elysia'
import { ok } from '../../lib/page'
import { patient } from '../../lib/patient'
import type { Auth } from '../../plugins/auth'
import { describe } from '../../plugins/docs'
import { ImportDocument, ImportQuery, importExample } from './model'
import type { Imports } from './service'

export const imports = (auth: Auth, imports: Imports) =>
  new Elysia({ name: 'imports', prefix: '/v1/import' })
    .use(auth)
    .post(
      '/conversations',
      async ({ user, request, headers, query: { dry_run: dryRun = false } }) =>
        ok(await imports.import(user, { request, headers }, { dryRun })),
      {
        beforeHandle: patient,
        body: ImportDocument,
        query: ImportQuery,
        detail: describe({
          summary: 'Bring conversations from elsewhere',
          description:
            'As trees, with all their branches; the format is recognised. What is broken is mended, and `repairs` says how often: `missing_parents`, `self_parents`, `cycles`, `duplicate_ids`, `times`, `texts`, `titles`, `roles`, `system_messages`. `skipped` says why one was left out: `exists` (importing again changes nothing), `empty`, `unknown_format`, `taken`, `too_large` (one of more than 32 MB), `invalid_json` (a line). The body is read and stored piece by piece; where it breaks, `broken` says after how many conversations, and those are in. Listed are the first 1,000, and of the others up to 1,000 with something wrong.',
          tag: 'Export and import',
          example: ok(importExample),
          errors: ['BAD_REQUEST', 'PAYLOAD_TOO_LARGE', 'UNSUPPORTED_MEDIA_TYPE', 'NOT_SUPPORTED'],
        }),
      },
    )
