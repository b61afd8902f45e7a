import { t } from 'elysia'

/** As OpenAI has it; what a model takes is often less. */
const MOST = 2048

const Text = t.String({ minLength: 1, maxLength: 1_000_000 })
const Tokens = t.Array(t.Integer({ minimum: 0 }), { minItems: 1, maxItems: 100_000 })

/** The OpenAI Embeddings API. */
export const EmbeddingsBody = t.Object(
  {
    input: t.Union(
      [Text, t.Array(Text, { minItems: 1, maxItems: MOST }), Tokens, t.Array(Tokens, { minItems: 1, maxItems: MOST })],
      {
        'x-must': `must be a text that is not empty, up to ${MOST} of them, or the same as lists of tokens`,
      },
    ),
    model: t.Optional(t.Nullable(t.String({ minLength: 1, maxLength: 200, description: 'One of `GET /v1/models`' }))),
    dimensions: t.Optional(t.Nullable(t.Integer({ minimum: 1, maximum: 100_000 }))),
    encoding_format: t.Optional(t.Nullable(t.Union([t.Literal('float'), t.Literal('base64')]))),
    user: t.Optional(t.Nullable(t.String({ maxLength: 500 }))),
  },
  {
    additionalProperties: true,
    description: 'The OpenAI Embeddings API. Keys that are not its own are passed on.',
    examples: [{ model: 'demo/eliza', input: 'The quick brown fox' }],
  },
)
export type EmbeddingsBody = typeof EmbeddingsBody.static

export const embeddingsExample = {
  object: 'list',
  data: [{ object: 'embedding', index: 0, embedding: [0.0123, -0.0456] }],
  model: 'demo/eliza',
  usage: { prompt_tokens: 4, total_tokens: 4 },
}
