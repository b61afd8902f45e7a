import { Elysia, ElysiaCustomStatusResponse } from 'elysia'

/** Bytes below which compressing costs more than it saves. */
const WORTH_IT = 4096

/** `gzip`, but not `gzip;q=0`, which means anything else. */
const GZIP = /(?:^|[\s,])gzip\s*(?:,|$|;\s*q=(?:1|0\.0*[1-9]))/i

/** gzip for large JSON answers. Streams are `Response`s and pass: compressing them would hold tokens back. */
export const compress = () =>
  new Elysia({ name: 'compress' }).mapResponse({ as: 'global' }, function gzipJson({ responseValue, request, set }) {
    if (!GZIP.test(request.headers.get('accept-encoding') ?? '')) return
    const custom = responseValue instanceof ElysiaCustomStatusResponse
    const value: unknown = custom ? responseValue.response : responseValue
    if (typeof value !== 'object' || value === null || value instanceof Response) return
    const json = JSON.stringify(value)
    const status = custom ? Number(responseValue.code) : Number(set.status ?? 200)
    set.headers['content-type'] = 'application/json; charset=utf-8'
    if (json.length < WORTH_IT) return new Response(json, { status })
    set.headers['content-encoding'] = 'gzip'
    set.headers.vary = 'accept-encoding'
    return new Response(Bun.gzipSync(Buffer.from(json), { level: 4 }), { status })
  })
