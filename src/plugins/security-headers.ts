import { Elysia } from 'elysia'

/** What every answer says to browsers: this is data, for nobody else's page. Pages of ours say otherwise themselves. */
const HEADERS = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cache-control': 'no-store',
}

export const securityHeaders = ({ https }: { https: boolean }) =>
  new Elysia({ name: 'security-headers' }).onRequest(function securityHeaders({ set }) {
    Object.assign(set.headers, HEADERS)
    if (https) set.headers['strict-transport-security'] = 'max-age=31536000; includeSubDomains'
  })
