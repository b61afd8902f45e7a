import { t } from 'elysia'

export const ModelId = t.Object({ id: t.String({ minLength: 1, description: 'A model, or a provider' }) })

export const ModelsQuery = t.Object({
  format: t.Optional(
    t.Union([t.Literal('openai'), t.Literal('rich')], {
      description: "`rich`: prices, limits and health in our envelope; otherwise OpenAI's shape",
      'x-must': 'must be openai or rich',
    }),
  ),
})

const one = { id: 'demo/eliza', object: 'model', created: 0, owned_by: 'demo' }
export const listExample = { object: 'list', data: [one] }

const price_book = { name: '@pydantic/genai-prices', version: '0.1.8', date: '2026-09-23' }
const rich = {
  id: 'gpt-4o',
  object: 'model',
  created: 1_715_367_049,
  owned_by: 'openai',
  provider: 'openai',
  display_name: 'GPT-4o',
  context_window: 128_000,
  max_output_tokens: 16_384,
  capabilities: ['vision', 'tools', 'json'],
  pricing: {
    currency: 'USD',
    per_tokens: 1_000_000,
    input: 2.5,
    cached_input: 1.25,
    cache_write: null,
    output: 10,
    reasoning: null,
    source: '@pydantic/genai-prices 0.1.8',
  },
  deprecated: false,
  deprecated_at: null,
  health: { status: 'ok', deployments: 2, available: 2, first_token_ms: 420 },
}
export const providerExample = { success: true, data: { provider: 'openai', models: [rich], price_book } }
export const infoExample = { success: true, data: { ...rich, price_book } }
