import { swagger } from '@elysiajs/swagger'
import { Elysia } from 'elysia'
import { ERRORS, type ErrorCode } from '../errors'

export interface Description {
  summary: string
  description?: string
  tag: string
  /** An example of what a success answers; its shape is the documented schema. */
  example?: unknown
  /** An example of the event stream, when the operation can stream. */
  stream?: string
  /** Status of a success. */
  status?: number
  /** Failures besides those every operation has. */
  errors?: ErrorCode[]
  /** Answers strangers. */
  open?: boolean
  /** What a success is when it is not JSON. */
  contentType?: string
}

const ALWAYS: ErrorCode[] = ['VALIDATION_ERROR', 'INTERNAL_ERROR']
const SIGNED_IN: ErrorCode[] = ['UNAUTHORIZED', 'RATE_LIMIT_EXCEEDED']

/** An operation's entry in the OpenAPI document: what it does, an example, and every failure with its body. */
export function describe({ summary, description, tag, status = 200, open, ...rest }: Description) {
  const codes = [...new Set([...(rest.errors ?? []), ...(open ? [] : SIGNED_IN), ...ALWAYS])]
  return {
    summary,
    ...(description ? { description } : {}),
    tags: [tag],
    security: open ? [] : [{ bearer: [] }],
    responses: { [status]: success(rest), ...failures(codes) },
  }
}

function success({ example, stream, contentType = 'application/json' }: Omit<Description, 'summary' | 'tag'>) {
  const content: Record<string, unknown> = {}
  if (example !== undefined) content[contentType] = { schema: schemaOf(example), example }
  if (stream)
    content['text/event-stream'] = {
      schema: { type: 'string' },
      example: stream,
    }
  return { description: 'Success', content }
}

/** Codes that share a status share an entry. */
function failures(codes: ErrorCode[]) {
  const byStatus = Map.groupBy(codes, (code) => ERRORS[code].status)
  return Object.fromEntries(
    [...byStatus].map(([status, group]) => [
      status,
      {
        description: group.join(', '),
        content: {
          'application/json': {
            schema: { $ref: '#/components/schemas/Error' },
            example: failure(group[0]),
          },
        },
      },
    ]),
  )
}

const failure = (code: ErrorCode = 'INTERNAL_ERROR') => ({
  success: false,
  error: {
    message: 'A sentence that says what to change',
    code,
    details: null,
    request_id: 'req-1',
  },
})

/** The JSON schema that an example shows. */
function schemaOf(example: unknown): Record<string, unknown> {
  if (example === null) return { nullable: true }
  if (Array.isArray(example)) return { type: 'array', items: example.length ? schemaOf(example[0]) : {} }
  if (typeof example === 'object') {
    const entries = Object.entries(example).map(([key, value]) => [key, schemaOf(value)] as const)
    return { type: 'object', properties: Object.fromEntries(entries) }
  }
  return { type: typeof example }
}

/** Nothing from elsewhere, no inline script; the page's own styles are inline. */
const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>API documentation</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" href="/docs/favicon-32x32.png">
</head>
<body>
<div id="ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
`

const START = `SwaggerUIBundle({ url: '/openapi.json', dom_id: '#ui', deepLinking: true, docExpansion: 'list', validatorUrl: null })
`

const FILES = {
  'swagger-ui.css': 'text/css; charset=utf-8',
  'swagger-ui-bundle.js': 'text/javascript; charset=utf-8',
  'favicon-32x32.png': 'image/png',
} as const

const asset = (body: BodyInit, type: string) =>
  new Response(body, {
    headers: { 'content-type': type, 'content-security-policy': CSP },
  })

type Paths = Record<string, Record<string, { security?: object[]; parameters?: { name: string }[] }>>

const KEY = {
  name: 'Idempotency-Key',
  in: 'header',
  required: false,
  schema: { type: 'string', minLength: 1, maxLength: 255, pattern: '^[\\x21-\\x7e]+$' },
  description: 'Sent again with the same key, a request gets the answer of the first one and does nothing.',
}

/** Every write by somebody who is known takes a key; no route has to say so. */
function addKeys(paths: Paths, withoutKey: string[]): void {
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const name = `${method.toUpperCase()} ${path.replace(/\/$/, '')}`
      if (method === 'get' || !operation.security?.length || withoutKey.includes(name)) continue
      const others =
        operation.parameters?.filter((parameter) => parameter.name.toLowerCase() !== 'idempotency-key') ?? []
      operation.parameters = [...others, KEY]
    }
  }
}

export interface DocsOptions {
  version: string
  /** Operations that know their caller and take no `Idempotency-Key`. */
  withoutKey: string[]
}

/**
 * `/openapi.json`, and `/docs` to read it with. The plugin writes the document; its own page loads scripts from a
 * public CDN, so the page is ours and the scripts come from the installed `swagger-ui-dist`.
 */
export const docs = ({ version, withoutKey }: DocsOptions) => {
  const app = new Elysia({ name: 'docs' })
    .onAfterHandle(function nameKeys({ path, responseValue }) {
      if (path === '/openapi.json') addKeys((responseValue as { paths: Paths }).paths, withoutKey)
    })
    .use(
      swagger({
        path: '/docs',
        specPath: '/openapi.json',
        exclude: [/^\/docs/, '/openapi.json'],
        // An address with a dot in it may be an operation.
        excludeStaticFile: false,
        documentation: {
          openapi: '3.0.3',
          info: {
            title: 'AI chat orchestrator',
            version,
            description: DESCRIPTION,
            license: { name: 'MIT' },
          },
          components: {
            securitySchemes: {
              bearer: {
                type: 'http',
                scheme: 'bearer',
                description: 'An access token, or an API key of `POST /v1/keys`',
              },
            },
            schemas: { Error: schemaOf(failure()) as object },
          },
        },
      }),
    )
    .get('/docs', () => asset(PAGE, 'text/html; charset=utf-8'), {
      detail: { hide: true },
    })
    .get('/docs/start.js', () => asset(START, 'text/javascript; charset=utf-8'), { detail: { hide: true } })
  for (const [name, type] of Object.entries(FILES)) {
    const file = Bun.file(new URL(import.meta.resolve(`swagger-ui-dist/${name}`)))
    app.get(`/docs/${name}`, () => asset(file, type), {
      detail: { hide: true },
    })
  }
  return app
}

const DESCRIPTION = `One server between chat frontends and language models.

Successful answers are \`{ "success": true, "data": … }\`, failures \`{ "success": false, "error": { message, code, details, request_id } }\`.
Compatible surfaces (OpenAI's under \`/v1/chat/completions\`, \`/v1/responses\`, \`/v1/embeddings\` and \`/v1/models\`, the account endpoints under \`/api/v1\`) answer in their own shapes.
Lists are pages: \`?page=1&limit=20\`, \`limit\` at most 100. Times are ISO 8601 in UTC, ids are UUIDs.
Every write of somebody who is signed in takes an \`Idempotency-Key\`; signing up, in and out, and trading refresh tokens do not.
Where requests are limited, \`RateLimit-Policy\` and \`RateLimit\` say how many are left, and what is refused gets 429 with \`Retry-After\`.`
