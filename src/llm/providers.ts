import type { Quirks } from './quirks'

/** A well-known service that speaks the OpenAI Chat Completions API. */
export interface WellKnown {
  name: string
  /** As the service documents it. */
  baseUrl: string
  /** The environment variable that its own documentation keeps the key in; absent where it asks for none. */
  key?: string
  quirks?: Quirks
}

/**
 * One line each; another one makes a service known by its name and, when it has a key, by its environment variable.
 * Mistral answers 422 to `stream_options` and `max_completion_tokens` (openai/openai-agents-python#442,
 * editor-code-assistant/eca#231). OpenAI's reasoning models refuse `max_tokens`, its others take both names.
 */
export const WELL_KNOWN: readonly WellKnown[] = [
  {
    name: 'openai',
    baseUrl: 'https://api.openai.com/v1',
    key: 'OPENAI_API_KEY',
    quirks: { strict: true, maxTokens: 'max_completion_tokens' },
  },
  { name: 'openrouter', baseUrl: 'https://openrouter.ai/api/v1', key: 'OPENROUTER_API_KEY' },
  { name: 'groq', baseUrl: 'https://api.groq.com/openai/v1', key: 'GROQ_API_KEY', quirks: { strict: true } },
  {
    name: 'mistral',
    baseUrl: 'https://api.mistral.ai/v1',
    key: 'MISTRAL_API_KEY',
    quirks: { strict: true, noStreamOptions: true, maxTokens: 'max_tokens' },
  },
  { name: 'deepseek', baseUrl: 'https://api.deepseek.com', key: 'DEEPSEEK_API_KEY' },
  { name: 'together', baseUrl: 'https://api.together.xyz/v1', key: 'TOGETHER_API_KEY' },
  { name: 'fireworks', baseUrl: 'https://api.fireworks.ai/inference/v1', key: 'FIREWORKS_API_KEY' },
  { name: 'xai', baseUrl: 'https://api.x.ai/v1', key: 'XAI_API_KEY' },
  { name: 'cerebras', baseUrl: 'https://api.cerebras.ai/v1', key: 'CEREBRAS_API_KEY', quirks: { strict: true } },
  { name: 'ollama', baseUrl: 'http://localhost:11434/v1' },
  { name: 'vllm', baseUrl: 'http://localhost:8000/v1' },
  { name: 'lmstudio', baseUrl: 'http://localhost:1234/v1' },
]

/** What is known of the service at an address; nothing of an unknown one. */
export function quirksOf(baseUrl: string): Quirks {
  const host = hostOf(baseUrl)
  return WELL_KNOWN.find(({ baseUrl: known }) => hostOf(known) === host)?.quirks ?? {}
}

const hostOf = (url: string) => (URL.canParse(url) ? new URL(url).host : undefined)
