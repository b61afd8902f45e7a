import { type Static, type TSchema, Type } from '@sinclair/typebox'
import { CAPABILITIES } from './facts'

/** Unknown keys are mistakes: a word misspelt shall not be a setting silently lost. */
const strict = <T extends Record<string, TSchema>>(properties: T) =>
  Type.Object(properties, { additionalProperties: false })

const oneOf = <const T extends string>(...words: readonly T[]) =>
  Type.Union(
    words.map((word) => Type.Literal(word)),
    { 'x-must': `must be one of ${words.join(', ')}` },
  ) as unknown as ReturnType<typeof Type.Unsafe<T>>

const Seconds = Type.Number({ exclusiveMinimum: 0, maximum: 86_400, 'x-must': 'must be seconds: a number above 0' })
const Name = Type.String({ minLength: 1, maxLength: 200, 'x-must': 'must be a name of at most 200 characters' })
const Names = Type.Array(Name, { minItems: 1, 'x-must': 'must be a list of names' })
const Tokens = Type.Integer({ minimum: 1, 'x-must': 'must be a number of tokens: a whole number above 0' })
const Weight = Type.Number({ minimum: 0, maximum: 1_000_000, 'x-must': 'must be a number from 0 to 1000000' })
const Usd = Type.Number({ minimum: 0, maximum: 1_000_000, 'x-must': 'must be US dollars per million tokens' })
const UsdEach = Type.Number({ minimum: 0, maximum: 1000, 'x-must': 'must be US dollars for each' })
const Day = Type.String({ pattern: '^\\d{4}-\\d{2}-\\d{2}$', 'x-must': 'must be a day such as 2026-11-21' })
const Url = Type.String({ pattern: '^https?://[^\\s/]+', 'x-must': 'must be an address that begins with http(s)://' })

const ProviderEntry = strict({
  kind: oneOf('openai', 'azure', 'anthropic', 'litellm'),
  base_url: Type.Optional(Url),
  api_key: Type.Optional(Type.String({ minLength: 1, 'x-must': `must be a key, best as \${NAME_OF_A_VARIABLE}` })),
  api_version: Type.Optional(Type.String({ minLength: 1, 'x-must': 'must be a version such as 2024-10-21' })),
  personal_keys: Type.Optional(Type.Boolean({ 'x-must': 'must be true or false' })),
  list: Type.Optional(Type.Boolean({ 'x-must': 'must be true or false' })),
  cancelled: Type.Optional(oneOf('cancel', 'drain')),
  timeouts: Type.Optional(
    strict({
      connect: Type.Optional(Seconds),
      first_token: Type.Optional(Seconds),
      idle: Type.Optional(Seconds),
      total: Type.Optional(Seconds),
    }),
  ),
})

const rates = {
  input: Type.Optional(Usd),
  cached_input: Type.Optional(Usd),
  cache_write: Type.Optional(Usd),
  cache_write_hour: Type.Optional(Usd),
  output: Type.Optional(Usd),
  reasoning: Type.Optional(Usd),
  image_input: Type.Optional(Usd),
  audio_input: Type.Optional(Usd),
  cached_audio: Type.Optional(Usd),
  audio_output: Type.Optional(Usd),
  audio_second: Type.Optional(UsdEach),
  request: Type.Optional(UsdEach),
}

const PricesEntry = strict({
  ...rates,
  above: Type.Optional(
    Type.Array(strict({ ...rates, tokens: Tokens }), {
      minItems: 1,
      'x-must': 'must be a list of prices with `tokens`',
    }),
  ),
  tiers: Type.Optional(
    Type.Record(Type.String({ pattern: '^[\\w-]{1,40}$' }), strict(rates), {
      additionalProperties: false,
      'x-must': 'must have prices for each service tier, such as priority',
    }),
  ),
})

const InfoEntry = strict({
  display_name: Type.Optional(Name),
  context_window: Type.Optional(Tokens),
  max_output_tokens: Type.Optional(Tokens),
  capabilities: Type.Optional(
    Type.Array(oneOf(...CAPABILITIES), { 'x-must': `must be a list of ${CAPABILITIES.join(', ')}` }),
  ),
  prices: Type.Optional(PricesEntry),
  prices_from: Type.Optional(
    Type.Array(strict({ day: Day, prices: PricesEntry }), {
      minItems: 1,
      'x-must': 'must be a list of days with the prices that hold from then on',
    }),
  ),
  deprecated_at: Type.Optional(Day),
})

const ModelEntry = strict({
  strategy: Type.Optional(oneOf('ordered', 'weighted', 'least-busy', 'fastest')),
  hedge_after: Type.Optional(Seconds),
  allow: Type.Optional(strict({ tenants: Type.Optional(Names), users: Type.Optional(Names) })),
  deployments: Type.Array(
    strict({
      id: Type.Optional(Name),
      provider: Name,
      model: Type.Optional(Name),
      weight: Type.Optional(Weight),
      prefill: Type.Optional(Type.Boolean({ 'x-must': 'must be true or false' })),
      info: Type.Optional(InfoEntry),
    }),
    { minItems: 1, 'x-must': 'must be a list of at least one deployment' },
  ),
  split: Type.Optional(
    Type.Array(strict({ name: Name, weight: Weight, deployments: Names }), {
      minItems: 1,
      'x-must': 'must be a list of arms',
    }),
  ),
  info: Type.Optional(InfoEntry),
})

/** The file of `MODELS_FILE`, as docs/models.md explains it. */
export const ModelsFile = Type.Object(
  {
    providers: Type.Record(Type.String({ pattern: '^[\\w.-]{1,64}$' }), ProviderEntry, {
      additionalProperties: false,
      minProperties: 1,
      'x-must': 'must have an entry for each provider, with a name of letters, digits, dots and dashes',
    }),
    models: Type.Optional(
      Type.Record(Type.String({ minLength: 1, maxLength: 200 }), ModelEntry, {
        'x-must': 'must have an entry for each model',
      }),
    ),
  },
  { additionalProperties: false, 'x-must': 'must have `providers`, and `models`' },
)

export type ModelsFile = Static<typeof ModelsFile>
export type ProviderEntry = Static<typeof ProviderEntry>
export type ModelEntry = Static<typeof ModelEntry>
export type PricesEntry = Static<typeof PricesEntry>
export type InfoEntry = Static<typeof InfoEntry>
