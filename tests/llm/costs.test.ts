import { afterEach, describe, expect, test } from 'bun:test'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { unknownPriceOf } from '../../src/lib/unknown-price'
import { Catalog } from '../../src/llm/catalog'
import { readDetails } from '../../src/llm/litellm'
import { differs, dollars, reportedNanos } from '../../src/llm/metering'
import { parseModelsFile } from '../../src/llm/models-file'
import { openAiCompatible } from '../../src/llm/openai-compatible'
import type { ChatEvent, Provider, Usage, UsageEvent } from '../../src/llm/port'
import { pricesAt, pricesByPolicy, rate, versionOf } from '../../src/llm/prices'
import { Router } from '../../src/llm/router'
import { addedEvents } from '../../src/llm/usage'
import { Metrics } from '../../src/plugins/metrics'

const TIMEOUTS = { connect: 5000, firstToken: 5000, idle: 5000, total: 20_000 }
const DOLLAR = 1_000_000_000n
const USAGE = { prompt_tokens: 100, completion_tokens: 10, total_tokens: 110 }
const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})

/** A provider that says these things of the cost of its answer. */
async function saying(header: string | undefined, usage: object | undefined): Promise<Provider> {
  const server = createServer((_, response) => {
    const headers = { 'content-type': 'text/event-stream' }
    response.writeHead(200, header === undefined ? headers : { ...headers, 'x-litellm-response-cost': header })
    response.write(`data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: 'Hi' } }] })}\n\n`)
    response.write(`data: ${JSON.stringify({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] })}\n\n`)
    if (usage) response.write(`data: ${JSON.stringify({ choices: [], usage })}\n\n`)
    response.end('data: [DONE]\n\n')
  })
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return openAiCompatible({ name: 'proxy', baseUrl: `http://127.0.0.1:${port}`, timeouts: TIMEOUTS })
}

async function answered(events: AsyncIterable<ChatEvent>): Promise<UsageEvent[]> {
  const usages: UsageEvent[] = []
  for await (const event of events) if (typeof event === 'object' && event.type === 'usage') usages.push(event)
  return usages
}
const request = { model: 'm', messages: [{ role: 'user', content: 'Hi' }], params: {} }
const signal = () => AbortSignal.timeout(5000)

describe('a cost that the provider reports', () => {
  test.each([
    ['the header', '0.000612', USAGE, 612_000n],
    ['the header, in powers of ten', '2.4e-05', USAGE, 24_000n],
    ['the usage, which goes before the header', '0.000612', { ...USAGE, cost: 0.0007 }, 700_000n],
    ['nothing, when a stream did not know it yet', '0.0', USAGE, undefined],
    ['nothing, when it is no number', 'None', USAGE, undefined],
    ['nothing, when it is below 0', '-1', USAGE, undefined],
    ['nothing', undefined, USAGE, undefined],
  ])('is read from %s', async (_, header, usage, nanos) => {
    const provider = await saying(header, usage)
    const [event] = await answered(provider.stream(request, signal()))
    expect(event?.reportedNanos).toBe(nanos as bigint)
  })

  test.each([
    [{ cost: '0.014' }, 14_000_000n],
    [{ cost: 0 }, 0n],
    [{ cost: Number.NaN }, undefined],
    [{ cost: { total_cost: 1 } }, undefined],
    [{ cost: '1e309' }, undefined],
    [{ cost: null, cost_in_usd_ticks: 37_756_000 }, 3_775_600n],
    [{ cost_in_usd_ticks: 5 }, 1n],
    [{ cost_in_usd_ticks: -5 }, undefined],
  ])('is %j', (usage, nanos) => {
    expect(reportedNanos({ ...USAGE, ...usage } as Usage)).toBe(nanos as bigint)
  })

  test('is no amount when it is written otherwise', () => {
    for (const text of ['', ' ', '1,5', '١٢', '0x', 'Infinity', true, []]) expect(dollars(text)).toBeUndefined()
  })

  test('differs from ours when they are more than one part in a hundred apart', () => {
    expect(differs(1_010_000n, 1_000_000n)).toBe(false)
    expect(differs(1_010_001n, 1_000_000n)).toBe(true)
    expect(differs(989_999n, 1_000_000n)).toBe(true)
    expect(differs(1n, 0n)).toBe(false)
    expect(differs(2n, 0n)).toBe(true)
    expect(differs(0n, 0n)).toBe(false)
  })
})

describe('an answer through the router', () => {
  const prices = { input: DOLLAR, output: 10n * DOLLAR }

  /** 200,000 nano-dollars by our prices, when the provider counts. */
  async function ask(provider: Provider, estimate = false) {
    const metrics = new Metrics()
    const catalog = new Catalog((_, model) => ({ id: model, ownedBy: 'x', created: 0, facts: { prices } }))
    const router = new Router({
      providers: [provider],
      observer: metrics,
      totalMs: 5000,
      rate: (deployment, usage) => catalog.rate(deployment, usage),
      ...(estimate
        ? { estimate: async () => ({ type: 'usage', usage: USAGE, costBasis: 'estimated' }) satisfies UsageEvent }
        : {}),
    })
    const model = await router.route('m', { tenantId: 't', userId: 'u' })
    return { usages: await answered(model.stream(request, signal())), text: await metrics.text() }
  }

  test('says what it costs, in parts, and by which prices', async () => {
    const { usages } = await ask(await saying(undefined, USAGE))
    expect(usages).toMatchObject([
      {
        costNanos: 200_000n,
        costParts: { input: 100_000n, output: 100_000n },
        priceVersion: expect.stringMatching(/^unknown#[0-9a-f]{12}$/),
      },
    ])
  })

  test('is counted when the provider says what it costs', async () => {
    const line = (agrees: boolean) => `llm_costs_compared_total{provider="proxy",agrees="${agrees}"} 1`
    expect((await ask(await saying('0.0002', USAGE))).text).toContain(line(true))
    expect((await ask(await saying('0.0003', USAGE))).text).toContain(line(false))
    expect((await ask(await saying(undefined, USAGE))).text).not.toContain('llm_costs_compared_total{')
  })

  test('is estimated when nobody counted, and only then', async () => {
    const silent = await saying(undefined, undefined)
    expect((await ask(silent)).usages).toEqual([])
    expect((await ask(silent, true)).usages).toMatchObject([{ costNanos: 200_000n, costBasis: 'estimated' }])
    const { usages } = await ask(await saying(undefined, USAGE), true)
    expect(usages).toHaveLength(1)
    expect(usages[0]?.costBasis).toBeUndefined()
  })

  test('of several requests is the sum, and unknown when one is', () => {
    const counts = rateable(USAGE)
    const one: UsageEvent = { type: 'usage', usage: USAGE, counts, costNanos: 5n, costParts: { input: 5n } }
    const two: UsageEvent = { ...one, costNanos: 7n, costParts: { output: 7n }, costBasis: 'estimated' }
    const both = addedEvents(one, two)
    expect(both).toMatchObject({ costNanos: 12n, costParts: { input: 5n, output: 7n }, costBasis: 'estimated' })
    expect(both.counts).toMatchObject({ input: 200, output: 20, request: 2 })
    expect(addedEvents(two, one).costBasis).toBe('estimated')
    expect(addedEvents(one, { ...two, costNanos: null, costParts: undefined })).toMatchObject({ costNanos: null })
  })
})

function rateable({ prompt_tokens: input, completion_tokens: output }: Usage) {
  const none = { cachedInput: 0, cacheWrite: 0, cacheWriteHour: 0, audioInput: 0, cachedAudio: 0, imageInput: 0 }
  return { ...none, input, output, reasoning: 0, audioOutput: 0, audioSeconds: 0, request: 1 }
}

describe('prices', () => {
  const FILE = `providers:
  openai: {kind: openai, api_key: "\${KEY}"}
models:
  gpt:
    deployments: [{provider: openai}]
    info:
      prices:
        input: 2
        output: 8
        request: 0.001
        audio_second: 0.0001
        above: [{tokens: 1000, input: 4}]
        tiers: {priority: {input: 5, output: 20}}
      prices_from:
        - {day: 2026-12-01, prices: {input: 1, output: 4}}
        - {day: 2026-11-15, prices: {input: 3, output: 9}}
`
  const [route] = parseModelsFile(FILE, { variable: () => 'sk', timeouts: TIMEOUTS }).routes
  const [deployment] = route?.deployments ?? []
  const catalog = new Catalog(() => undefined)
  const at = (day: string) => deployment && catalog.rate(deployment, { usage: USAGE }, new Date(`${day}T00:00:00Z`))

  test('of the file hold from their day on, and an old answer can be rated again', () => {
    expect(at('2026-11-14')?.costNanos).toBe(100n * 2000n + 10n * 8000n + 1_000_000n)
    expect(at('2026-11-15')?.costNanos).toBe(100n * 3000n + 10n * 9000n)
    expect(at('2026-12-01')?.costNanos).toBe(100n * 1000n + 10n * 4000n)
    const versions = ['2026-11-14', '2026-11-15', '2026-11-30', '2026-12-01'].map((day) => at(day)?.version)
    expect(new Set(versions).size).toBe(3)
    expect(versions[1]).toBe(versions[2] as string)
    expect(versions[0]).toStartWith('models_file#')
  })

  test('of long requests and of service tiers go before the usual ones', () => {
    const prices = deployment?.facts?.prices ?? {}
    const counts = rateable({ prompt_tokens: 1001, completion_tokens: 1, total_tokens: 1002 })
    expect(rate(counts, prices)?.parts).toEqual({ input: 4_004_000n, output: 8000n, request: 1_000_000n })
    expect(rate(counts, prices, { tier: 'priority' })?.parts).toEqual({ input: 5_005_000n, output: 20_000n })
    expect(rate({ ...counts, audioSeconds: 10 }, prices)?.parts.audioSeconds).toBe(1_000_000n)
  })

  test('of a tier that costs more are not guessed, of one that costs less the usual ones are taken', () => {
    const counts = rateable(USAGE)
    const prices = { input: DOLLAR, output: DOLLAR }
    expect(rate(counts, prices, { tier: 'priority' })).toBeNull()
    for (const tier of ['default', 'standard', 'on_demand', 'flex', 'batch', '__proto__', 'constructor']) {
      expect(rate(counts, prices, { tier })?.costNanos).toBe(110_000n)
    }
  })

  test('have a name that says only what they are', () => {
    const one = { input: 1n, output: 2n, above: [{ tokens: 5, rates: { input: 3n } }] }
    const same = { above: [{ rates: { input: 3n, output: undefined }, tokens: 5 }], output: 2n, input: 1n }
    expect(versionOf(one, 'x')).toBe(versionOf(same, 'x'))
    expect(versionOf(one, 'x')).not.toBe(versionOf({ ...one, output: 3n }, 'x'))
    expect(pricesAt(one, new Date())).toBe(one)
  })

  test('of LiteLLM are read with all kinds that it knows', () => {
    const details = readDetails({
      data: [
        {
          model_name: 'm',
          model_info: {
            input_cost_per_token: 2.5e-6,
            output_cost_per_token: 1e-5,
            input_cost_per_token_priority: 4.25e-6,
            output_cost_per_token_priority: 1.7e-5,
            cache_creation_input_token_cost_above_1hr: 6e-6,
            input_cost_per_audio_token: 4e-5,
            output_cost_per_audio_token: 8e-5,
          },
        },
      ],
    })
    expect(details.get('m')?.prices).toMatchObject({
      input: 2_500_000_000n,
      cacheWriteHour: 6_000_000_000n,
      audioInput: 40_000_000_000n,
      audioOutput: 80_000_000_000n,
      tiers: { priority: { input: 4_250_000_000n, output: 17_000_000_000n, audioInput: 40_000_000_000n } },
    })
  })
})

describe('an unknown price', () => {
  test.each([
    ['refuse', 'refuse'],
    ['free', 'free'],
    ['at:2', { at: 2n * DOLLAR }],
    ['at:0.5', { at: DOLLAR / 2n }],
    ['at:0.000000001', { at: 1n }],
    ['at:0.0000000001', undefined],
    ['at:-1', undefined],
    ['at:1e309', undefined],
    ['at:١', undefined],
    ['at:', undefined],
    ['', undefined],
    ['Free', undefined],
  ])('is dealt with as %p says', (word, policy) => {
    expect(unknownPriceOf(word)).toEqual(policy as 'free')
  })

  test('is refused, or becomes a price for every kind', () => {
    const counts = {
      ...rateable(USAGE),
      cachedAudio: 5,
      audioOutput: 5,
      imageInput: 5,
      reasoning: 5,
      cacheWriteHour: 5,
    }
    expect(pricesByPolicy('refuse')).toBeNull()
    expect(rate(counts, pricesByPolicy('free') ?? {})).toEqual({ costNanos: 0n, parts: {} })
    expect(rate(counts, pricesByPolicy({ at: DOLLAR }) ?? {})?.costNanos).toBe(135_000n)
  })
})
