import { Elysia } from 'elysia'
import { patient } from '../../lib/patient'
import type { Auth } from '../../plugins/auth'
import { describe } from '../../plugins/docs'
import { EmbeddingsBody, embeddingsExample } from './model'
import type { Embeddings } from './service'

/** What OpenAI clients make vectors with, for searching by meaning. */
export const embeddings = (auth: Auth, embeddings: Embeddings) =>
  new Elysia({ name: 'embeddings', prefix: '/v1/embeddings' })
    .use(auth)
    .onBeforeHandle(patient)
    .post('', ({ user, body, request }) => embeddings.create(user, body, request.signal), {
      body: EmbeddingsBody,
      detail: describe({
        summary: 'Make vectors of texts',
        description:
          "OpenAI's Embeddings API, errors included: one text or up to 2048, as text or as tokens. The provider that has the model makes them; Anthropic has none (400). The demo model gives vectors that depend on the text alone and mean nothing.",
        tag: 'Embeddings',
        example: embeddingsExample,
        errors: [
          'BAD_REQUEST',
          'INSUFFICIENT_BALANCE',
          'FORBIDDEN',
          'NOT_FOUND',
          'PAYLOAD_TOO_LARGE',
          'UPSTREAM_ERROR',
          'UPSTREAM_UNAVAILABLE',
          'UPSTREAM_TIMEOUT',
        ],
      }),
    })
