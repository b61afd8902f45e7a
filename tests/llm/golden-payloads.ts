import type { Kind } from '../../src/llm/metering'
import type { Prices } from '../../src/llm/prices'

/** Nano-dollars a million tokens, from US dollars. */
const usd = (dollars: number): bigint => BigInt(Math.round(dollars * 1e9))

/** Prices of this table, fixed for ever; they need not be anybody's today. */
export const PRICES = {
  gpt4o: { input: usd(2.5), cachedInput: usd(1.25), output: usd(10) },
  gpt5: {
    input: usd(1.25),
    cachedInput: usd(0.125),
    output: usd(10),
    tiers: {
      priority: { input: usd(2.5), cachedInput: usd(0.25), output: usd(20) },
      flex: { input: usd(0.625), cachedInput: usd(0.0625), output: usd(5) },
    },
  },
  gpt56: { input: usd(2.5), cachedInput: usd(0.25), cacheWrite: usd(3.125), output: usd(15) },
  audio: { input: usd(2.5), output: usd(10), audioInput: usd(40), audioOutput: usd(80) },
  realtime: { input: usd(4), cachedInput: usd(0.4), output: usd(16), audioInput: usd(32), cachedAudio: usd(0.4) },
  opus: { input: usd(5), cachedInput: usd(0.5), cacheWrite: usd(6.25), cacheWriteHour: usd(10), output: usd(25) },
  sonnet: {
    input: usd(3),
    cachedInput: usd(0.3),
    cacheWrite: usd(3.75),
    cacheWriteHour: usd(6),
    output: usd(15),
    above: [
      { tokens: 200_000, rates: { input: usd(6), cachedInput: usd(0.6), cacheWrite: usd(7.5), output: usd(22.5) } },
    ],
  },
  flash: { input: usd(0.3), cachedInput: usd(0.03), audioInput: usd(1), output: usd(2.5) },
  geminiPro: {
    input: usd(1.25),
    output: usd(10),
    above: [{ tokens: 200_000, rates: { input: usd(2.5), output: usd(15) } }],
  },
  deepseek: { input: usd(0.28), cachedInput: usd(0.028), output: usd(0.42) },
  groq: { input: usd(0.15), cachedInput: usd(0.075), output: usd(0.6) },
  mistral: { input: usd(0.4), cachedInput: usd(0.04), output: usd(2) },
  voxtral: { input: usd(0.1), output: usd(0.3), audioSeconds: 16_667n * 1_000_000n },
  grok: { input: usd(1.25), cachedInput: usd(0.2), output: usd(2.5) },
  kimi: { input: usd(0.6), cachedInput: usd(0.15), output: usd(2.5) },
  gptOss: { input: usd(0.06), output: usd(0.12) },
  sonar: { input: usd(1), output: usd(1), request: 5_000_000n * 1_000_000n },
  fireworks: { input: usd(1.4), cachedInput: usd(0.26), output: usd(4.4) },
} satisfies Record<string, Prices>

export interface Golden {
  /** Whose, and which kinds. */
  name: string
  /** Where the payload, or its shape, is from. */
  source: string
  usage: Record<string, unknown>
  prices: keyof typeof PRICES
  tier?: string
  /** Nano-dollars by kind, worked out by hand: tokens × US dollars per million × 1000. */
  parts: Partial<Record<Kind, bigint>>
  /** What the provider itself said that it costs. */
  reported?: bigint
}

const OPENAI_CHAT = 'https://platform.openai.com/docs/api-reference/chat/object'
const OPENAI_CACHING = 'https://platform.openai.com/docs/guides/prompt-caching'
const OPENAI_AUDIO = 'https://platform.openai.com/docs/guides/audio'

export const OPENAI: Golden[] = [
  {
    name: 'OpenAI: before there were details',
    source: 'https://github.com/weaviate/weaviate/issues/2837',
    usage: { prompt_tokens: 13, completion_tokens: 7, total_tokens: 20 },
    prices: 'gpt4o',
    parts: { input: 32_500n, output: 70_000n },
  },
  {
    name: 'OpenAI: with details that are all 0',
    source: OPENAI_CHAT,
    usage: {
      prompt_tokens: 1117,
      completion_tokens: 46,
      total_tokens: 1163,
      prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
      completion_tokens_details: {
        reasoning_tokens: 0,
        audio_tokens: 0,
        accepted_prediction_tokens: 0,
        rejected_prediction_tokens: 0,
      },
    },
    prices: 'gpt4o',
    tier: 'default',
    parts: { input: 2_792_500n, output: 460_000n },
  },
  {
    name: 'OpenAI: cached input, which is in the prompt',
    source: OPENAI_CACHING,
    usage: {
      prompt_tokens: 2006,
      completion_tokens: 300,
      total_tokens: 2306,
      prompt_tokens_details: { cached_tokens: 1920 },
      completion_tokens_details: { reasoning_tokens: 0 },
    },
    prices: 'gpt4o',
    parts: { input: 215_000n, cachedInput: 2_400_000n, output: 3_000_000n },
  },
  {
    name: 'OpenAI: input written to the cache, which costs more since GPT-5.6',
    source: `${OPENAI_CACHING} (2,600 tokens of which 2,000 are read and 400 written)`,
    usage: {
      prompt_tokens: 2600,
      completion_tokens: 300,
      total_tokens: 2900,
      prompt_tokens_details: { cached_tokens: 2000, cache_write_tokens: 400 },
    },
    prices: 'gpt56',
    parts: { input: 500_000n, cachedInput: 500_000n, cacheWrite: 1_250_000n, output: 4_500_000n },
  },
  {
    name: 'OpenAI: thoughts, which are in the completion',
    source: 'https://platform.openai.com/docs/guides/reasoning',
    usage: {
      prompt_tokens: 75,
      completion_tokens: 1186,
      total_tokens: 1261,
      prompt_tokens_details: { cached_tokens: 0 },
      completion_tokens_details: { reasoning_tokens: 1024 },
    },
    prices: 'gpt5',
    parts: { input: 93_750n, output: 1_620_000n, reasoning: 10_240_000n },
  },
  {
    name: 'OpenAI: served with priority',
    source: 'https://developers.openai.com/api/docs/guides/priority-processing (shape)',
    usage: {
      prompt_tokens: 1000,
      completion_tokens: 100,
      total_tokens: 1100,
      prompt_tokens_details: { cached_tokens: 600 },
    },
    prices: 'gpt5',
    tier: 'priority',
    parts: { input: 1_000_000n, cachedInput: 150_000n, output: 2_000_000n },
  },
  {
    name: 'OpenAI: served when there was time (flex)',
    source: 'https://platform.openai.com/docs/guides/flex-processing (shape)',
    usage: { prompt_tokens: 1000, completion_tokens: 100, total_tokens: 1100 },
    prices: 'gpt5',
    tier: 'flex',
    parts: { input: 625_000n, output: 500_000n },
  },
  {
    name: 'OpenAI: a wrong prediction, which is in the completion and paid',
    source: 'https://platform.openai.com/docs/guides/predicted-outputs (shape)',
    usage: {
      prompt_tokens: 500,
      completion_tokens: 80,
      total_tokens: 580,
      prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
      completion_tokens_details: {
        reasoning_tokens: 0,
        accepted_prediction_tokens: 25,
        rejected_prediction_tokens: 10,
      },
    },
    prices: 'gpt4o',
    parts: { input: 1_250_000n, output: 800_000n },
  },
  {
    name: 'OpenAI: speech in, speech and text out',
    source: `${OPENAI_AUDIO} (shape)`,
    usage: {
      prompt_tokens: 227,
      completion_tokens: 148,
      total_tokens: 375,
      prompt_tokens_details: { cached_tokens: 0, audio_tokens: 108 },
      completion_tokens_details: { reasoning_tokens: 0, audio_tokens: 112 },
    },
    prices: 'audio',
    parts: { input: 297_500n, audioInput: 4_320_000n, output: 360_000n, audioOutput: 8_960_000n },
  },
  {
    name: 'OpenAI: cached speech, told apart',
    source: 'https://github.com/openai/openai-dotnet/issues/1045 (counts), in the words of Chat Completions',
    usage: {
      prompt_tokens: 1459,
      completion_tokens: 97,
      total_tokens: 1556,
      prompt_tokens_details: {
        audio_tokens: 110,
        cached_tokens: 1408,
        cached_tokens_details: { text_tokens: 1344, audio_tokens: 64 },
      },
    },
    prices: 'realtime',
    parts: { input: 20_000n, cachedInput: 537_600n, audioInput: 1_472_000n, cachedAudio: 25_600n, output: 1_552_000n },
  },
  {
    name: 'Azure OpenAI: the same words, and details that are null',
    source: 'https://learn.microsoft.com/azure/foundry/openai/how-to/prompt-caching',
    usage: {
      prompt_tokens: 1566,
      completion_tokens: 1518,
      total_tokens: 3084,
      prompt_tokens_details: { audio_tokens: null, cached_tokens: 1408 },
      completion_tokens_details: { audio_tokens: null, reasoning_tokens: 576 },
    },
    prices: 'gpt5',
    parts: { input: 197_500n, cachedInput: 176_000n, output: 9_420_000n, reasoning: 5_760_000n },
  },
]

export const ANTHROPIC: Golden[] = [
  {
    name: 'Anthropic: an hour in the cache, as a bill of Claude Opus says (0.195664 dollars)',
    source: 'usage.cache_creation of the Messages API; counts and cost of a real request',
    usage: {
      input_tokens: 2,
      cache_read_input_tokens: 15_738,
      cache_creation_input_tokens: 18_761,
      cache_creation: { ephemeral_1h_input_tokens: 18_761, ephemeral_5m_input_tokens: 0 },
      output_tokens: 7,
      service_tier: 'standard',
    },
    prices: 'opus',
    parts: { input: 10_000n, cachedInput: 7_869_000n, cacheWriteHour: 187_610_000n, output: 175_000n },
  },
  {
    name: 'Anthropic: both kinds of cache',
    source: 'https://platform.claude.com/docs/en/build-with-claude/prompt-caching#1-hour-cache-duration (shape)',
    usage: {
      input_tokens: 2048,
      cache_read_input_tokens: 1800,
      cache_creation_input_tokens: 248,
      output_tokens: 503,
      cache_creation: { ephemeral_5m_input_tokens: 148, ephemeral_1h_input_tokens: 100 },
    },
    prices: 'sonnet',
    parts: {
      input: 6_144_000n,
      cachedInput: 540_000n,
      cacheWrite: 555_000n,
      cacheWriteHour: 600_000n,
      output: 7_545_000n,
    },
  },
  {
    name: 'Anthropic: five minutes in the cache, by older versions of the API',
    source: 'https://platform.claude.com/docs/en/build-with-claude/prompt-caching',
    usage: { input_tokens: 21, cache_creation_input_tokens: 188_086, cache_read_input_tokens: 0, output_tokens: 393 },
    prices: 'sonnet',
    parts: { input: 63_000n, cacheWrite: 705_322_500n, output: 5_895_000n },
  },
  {
    name: 'Anthropic: thoughts',
    source: 'usage.output_tokens_details of the Messages API; counts of a real request',
    usage: {
      input_tokens: 2,
      cache_creation_input_tokens: 43_331,
      cache_read_input_tokens: 0,
      output_tokens: 1027,
      output_tokens_details: { thinking_tokens: 864 },
      cache_creation: { ephemeral_1h_input_tokens: 43_331, ephemeral_5m_input_tokens: 0 },
      service_tier: 'standard',
    },
    prices: 'opus',
    parts: { input: 10_000n, cacheWriteHour: 433_310_000n, output: 4_075_000n, reasoning: 21_600_000n },
  },
  {
    name: 'Anthropic: a long request, caches included in its length',
    source: 'https://platform.claude.com/docs/en/about-claude/pricing#long-context-pricing (shape)',
    usage: {
      input_tokens: 10_000,
      cache_read_input_tokens: 190_001,
      cache_creation_input_tokens: 0,
      output_tokens: 100,
    },
    prices: 'sonnet',
    parts: { input: 60_000_000n, cachedInput: 114_000_600n, output: 2_250_000n },
  },
]
