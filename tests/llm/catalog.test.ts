import { afterEach, describe, expect, setSystemTime, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { AppError } from '../../src/errors'
import { Catalog } from '../../src/llm/catalog'
import { merged, perToken } from '../../src/llm/facts'
import { listedFacts } from '../../src/llm/listed-facts'
import { readDetails } from '../../src/llm/litellm'
import type { ModelInfo, Provider } from '../../src/llm/port'
import { PRICE_BOOK, PriceBook } from '../../src/llm/price-book'
import { Scripted } from '../support/scripted'

afterEach(() => {
  setSystemTime()
})

const OPENAI = 'https://api.openai.com/v1'
const usage = { prompt_tokens: 1000, completion_tokens: 100, total_tokens: 1100 }

function provider(more: Partial<Provider> = {}): Provider {
  const scripted = new Scripted('p')
  return {
    name: 'p',
    listsAll: false,
    personalKeys: false,
    cost: () => null,
    models: () => scripted.models(),
    stream: (request, signal) => scripted.stream(request, signal),
    ...more,
  }
}
const unlisted = () => undefined

describe('the price book', () => {
  test('is the version that is installed', () => {
    const { dependencies } = JSON.parse(readFileSync(join(import.meta.dir, '../../package.json'), 'utf8'))
    expect(dependencies[PRICE_BOOK.name]).toBe(PRICE_BOOK.version)
    expect(PRICE_BOOK.date).toMatch(/^\d{4}-\d{2}-\d{2}$/)
  })

  test('knows well-known services by their address, and nothing elsewhere', async () => {
    const book = new PriceBook()
    const at = new Date('2026-11-21T12:00:00Z')
    const ask = (baseUrl: string, model: string) => book.facts({ baseUrl, model, at })
    expect(ask(OPENAI, 'gpt-4o')).toBeUndefined()
    await book.open()
    expect(ask(OPENAI, 'gpt-4o')).toMatchObject({
      contextWindow: 128_000,
      prices: { input: 2_500_000_000n, cachedInput: 1_250_000_000n, output: 10_000_000_000n },
      priceSource: '@pydantic/genai-prices 0.1.8',
    })
    expect(ask('https://api.anthropic.com', 'claude-opus-4-5')?.prices).toMatchObject({ cacheWrite: 6_250_000_000n })
    expect(ask('https://mine.openai.azure.com/openai/v1', 'gpt-4o')?.contextWindow).toBe(128_000)
    expect(ask(OPENAI, 'no-such-model')).toBeUndefined()
    expect(ask('http://litellm:4000', 'gpt-4o')).toBeUndefined()
    expect(ask('https://api.openai.com.evil.example/v1', 'gpt-4o-mini-nothing')).toBeUndefined()
  })

  test('has other rates for long requests', async () => {
    const book = new PriceBook()
    await book.open()
    const { prices } =
      book.facts({ baseUrl: 'https://api.anthropic.com', model: 'claude-sonnet-4-5', at: new Date() }) ?? {}
    expect(prices).toMatchObject({
      input: 3_000_000_000n,
      above: [{ tokens: 200_000, rates: { input: 6_000_000_000n, output: 22_500_000_000n } }],
    })
  })

  test('tells some prices by the hour', async () => {
    const book = new PriceBook()
    await book.open()
    const at = (time: string) =>
      book.facts({ baseUrl: 'https://api.deepseek.com', model: 'deepseek-chat', at: new Date(`2026-11-21T${time}Z`) })
    expect(at('12:00:00')?.prices?.input).not.toBe(at('20:00:00')?.prices?.input as bigint)
  })
})

describe('LiteLLM', () => {
  const info = {
    litellm_provider: 'anthropic',
    max_input_tokens: 200_000,
    max_output_tokens: 64_000,
    input_cost_per_token: 3e-6,
    output_cost_per_token: 1.5e-5,
    cache_read_input_token_cost: 3e-7,
    cache_creation_input_token_cost: 3.75e-6,
    input_cost_per_token_above_200k_tokens: 6e-6,
    supports_vision: true,
    supports_function_calling: true,
    supports_reasoning: null,
    deprecation_date: '2027-02-01',
  }

  test('tells limits, prices and what a model can', () => {
    const details = readDetails({ data: [{ model_name: 'smart', model_info: info }, { model_name: 'smart' }] })
    const base = {
      input: 3_000_000_000n,
      output: 15_000_000_000n,
      cachedInput: 300_000_000n,
      cacheWrite: 3_750_000_000n,
    }
    expect(details.get('smart')).toMatchObject({
      vendor: 'anthropic',
      contextWindow: 200_000,
      maxOutputTokens: 64_000,
      capabilities: ['vision', 'tools'],
      prices: { ...base, above: [{ tokens: 200_000, rates: { ...base, input: 6_000_000_000n } }] },
      priceSource: 'litellm',
      deprecatedAt: '2027-02-01',
    })
  })

  test('does not know a price when it says 0', () => {
    const free = { input_cost_per_token: 0, output_cost_per_token: 0 }
    expect(readDetails({ data: [{ model_name: 'x', model_info: free }] }).get('x')?.prices).toBeUndefined()
  })

  test.each([[null], [5], [{}], [{ data: 'x' }], [{ data: [null, 5, {}, { model_name: 7 }] }]])(
    'may answer %j',
    (body) => {
      expect(readDetails(body).size).toBe(0)
    },
  )
})

describe("a provider's list", () => {
  test.each([
    ['OpenAI', { id: 'gpt-4o', object: 'model', owned_by: 'system' }, undefined],
    ['vLLM', { id: 'llama', max_model_len: 8192 }, { contextWindow: 8192 }],
    ['Groq', { context_window: 131_072, max_completion_tokens: 32_768 }, { maxOutputTokens: 32_768 }],
    [
      'Mistral',
      { name: 'large', max_context_length: 1000, capabilities: { completion_chat: true, function_calling: true } },
      { displayName: 'large', contextWindow: 1000, capabilities: ['tools'] },
    ],
    [
      'Anthropic',
      {
        id: 'claude',
        display_name: 'Claude',
        max_input_tokens: 200_000,
        max_tokens: 64_000,
        capabilities: { image_input: { supported: true }, pdf_input: { supported: false } },
      },
      { displayName: 'Claude', contextWindow: 200_000, maxOutputTokens: 64_000, capabilities: ['vision', 'tools'] },
    ],
    [
      'OpenRouter',
      {
        context_length: 128_000,
        top_provider: { max_completion_tokens: 16_384 },
        supported_parameters: ['tools', 'structured_outputs'],
        architecture: { input_modalities: ['text', 'image'] },
        pricing: { prompt: '0.0000025', completion: '0.00001', input_cache_read: '0.00000125' },
      },
      {
        contextWindow: 128_000,
        maxOutputTokens: 16_384,
        capabilities: ['vision', 'tools', 'json'],
        prices: { input: 2_500_000_000n, output: 10_000_000_000n, cachedInput: 1_250_000_000n },
      },
    ],
    ['nonsense', { context_window: -1, pricing: 'free', capabilities: [], name: 5 }, undefined],
  ])('is read: %s', (_, item, facts) => {
    const read = listedFacts(item)
    if (facts) expect(read).toMatchObject(facts)
    else expect(read).toBeUndefined()
  })

  test.each([
    ['0.0000025', 2_500_000_000n],
    [1.1e-7, 110_000_000n],
    ['', undefined],
    ['-1', undefined],
    ['x', undefined],
    [null, undefined],
  ])('has the price %j', (usd, nanos) => {
    expect(perToken(usd)).toBe(nanos as bigint)
  })
})

describe('the catalogue', () => {
  test('takes each fact from the first that knows it', () => {
    const prices = { input: 1n }
    expect(
      merged([
        { contextWindow: 1 },
        { contextWindow: 2, maxOutputTokens: 3, prices, priceSource: 'a' },
        { prices: { input: 2n }, priceSource: 'b' },
        undefined,
      ]),
    ).toEqual({ contextWindow: 1, maxOutputTokens: 3, prices, priceSource: 'a' })
  })

  test("goes by this server's own list, the provider's details, its list, then the price book", async () => {
    const details = async () => new Map([['gpt-4o', { maxOutputTokens: 2, contextWindow: 2 }]])
    const upstream = provider({ baseUrl: OPENAI, details })
    const listed: ModelInfo = {
      id: 'gpt-4o',
      ownedBy: 'x',
      created: 0,
      facts: { maxOutputTokens: 3, capabilities: ['tools'] },
    }
    const catalog = new Catalog(() => listed)
    await catalog.open([upstream])
    expect(catalog.facts({ provider: upstream, model: 'gpt-4o', facts: { contextWindow: 1 } })).toMatchObject({
      contextWindow: 1,
      maxOutputTokens: 2,
      capabilities: ['tools'],
      prices: { input: 2_500_000_000n },
    })
  })

  test('says what an answer costs, and null while nobody knows', async () => {
    const catalog = new Catalog(unlisted)
    const openai = provider({ baseUrl: OPENAI })
    expect(catalog.costOf({ provider: openai, model: 'gpt-4o' }, usage)).toBeNull()
    await catalog.open([openai])
    expect(catalog.costOf({ provider: openai, model: 'gpt-4o' }, usage)).toBe(3_500_000n)
    expect(catalog.costOf({ provider: openai, model: 'gpt-99' }, usage)).toBeNull()
    const facts = { prices: { input: 0n, output: 0n } }
    expect(catalog.costOf({ provider: openai, model: 'gpt-99', facts }, usage)).toBe(0n)
    expect(catalog.costOf({ provider: provider({ cost: () => 0n }), model: 'x' }, usage)).toBe(0n)
  })

  test('does not read the price book for what is not on the internet', async () => {
    let opened = 0
    const book = new PriceBook()
    book.open = async () => {
      opened++
    }
    const catalog = new Catalog(unlisted, book)
    for (const baseUrl of ['http://localhost:1/v1', 'http://10.0.0.7/v1', 'http://litellm:4000', 'http://x.internal']) {
      await catalog.ready(provider({ baseUrl }))
    }
    await catalog.ready(provider())
    expect(opened).toBe(0)
    await catalog.ready(provider({ baseUrl: OPENAI }))
    expect(opened).toBe(1)
  })

  test('asks a provider once an hour, in the background, and keeps what it said while it is away', async () => {
    let asked = 0
    let answer: () => Map<string, object> = () => new Map([['m', { contextWindow: asked }]])
    const upstream = provider({
      details: async () => {
        asked++
        return answer()
      },
    })
    const catalog = new Catalog(unlisted)
    const window = () => catalog.facts({ provider: upstream, model: 'm' }).contextWindow
    await Promise.all([catalog.open([upstream]), catalog.open([upstream])])
    expect([window(), window(), asked]).toEqual([1, 1, 1])
    setSystemTime(Date.now() + 3_601_000)
    expect(window()).toBe(1)
    await Bun.sleep(0)
    expect([window(), asked]).toEqual([2, 2])
    answer = () => {
      throw new AppError('UPSTREAM_UNAVAILABLE', 'away')
    }
    setSystemTime(Date.now() + 3_601_000)
    window()
    await Bun.sleep(0)
    expect([window(), window(), asked]).toEqual([2, 2, 3])
    setSystemTime(Date.now() + 61_000)
    window()
    await Bun.sleep(0)
    expect(asked).toBe(4)
  })
})
