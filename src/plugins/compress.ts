import { Elysia } from 'elysia'

/** Bytes below which compressing costs more than it saves. */
const WORTH_IT = 4096

/** gzip for large JSON answers. Streams are `Response`s and pass: compressing them would hold tokens back. */
export const compress = () =>
  new Elysia({ name: 'compress' }).mapResponse({ as: 'global' }, function gzipJson({ responseValue, headers, set }) {
    if (typeof responseValue !== 'object' || responseValue === null || responseValue instanceof Response) return
    if (!/\bgzip\b/.test(headers['accept-encoding'] ?? '')) return
    const json = JSON.stringify(responseValue)
    set.headers['content-type'] = 'application/json; charset=utf-8'
    if (json.length < WORTH_IT) return new Response(json)
    set.headers['content-encoding'] = 'gzip'
    set.headers.vary = 'accept-encoding'
    return new Response(Bun.gzipSync(Buffer.from(json), { level: 4 }))
  })
