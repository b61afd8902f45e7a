import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { MessageFrames } from '../../src/llm/anthropic-reader'
import { Chunks } from '../../src/llm/chunk-reader'
import type { FrameReader } from '../../src/llm/frame-reader'
import { type Counts, countsOf, differs, KINDS } from '../../src/llm/metering'
import type { UsageEvent } from '../../src/llm/port'
import { costOf, type Prices, type Rates, rate } from '../../src/llm/prices'
import { ANTHROPIC, type Golden, OPENAI, PRICES } from './golden-payloads'
import { OTHERS } from './golden-payloads-others'

/** What the adapter makes of an answer that ends with these counts. */
function read({ usage, tier }: Golden, isAnthropic: boolean): UsageEvent {
  return isAnthropic ? last(new MessageFrames(), messages(usage)) : last(new Chunks(), chunks(usage, tier))
}

function last(reader: FrameReader, frames: object[]): UsageEvent {
  for (const frame of frames) reader.feed(`data: ${JSON.stringify(frame)}\n\n`)
  const events = [...reader.take()].flatMap((event) =>
    typeof event === 'object' && event.type === 'usage' ? [event] : [],
  )
  expect(events).toHaveLength(1)
  return events[0] as UsageEvent
}

const chunks = (usage: object, tier?: string) => [
  { choices: [{ index: 0, delta: { content: 'Hi' }, finish_reason: 'stop' }] },
  { choices: [], usage, ...(tier ? { service_tier: tier } : {}) },
]

const messages = ({ output_tokens, output_tokens_details, ...input }: Golden['usage']) => [
  { type: 'message_start', message: { model: 'claude', usage: { ...input, output_tokens: 1 } } },
  {
    type: 'message_delta',
    delta: { stop_reason: 'end_turn' },
    usage: { output_tokens, ...(output_tokens_details ? { output_tokens_details } : {}) },
  },
  { type: 'message_stop' },
]

const sum = (parts: Golden['parts']) => Object.values(parts).reduce((total, part = 0n) => total + part, 0n)
const all = [
  ...[...OPENAI, ...OTHERS].map((golden) => [golden.name, golden, false] as const),
  ...ANTHROPIC.map((golden) => [golden.name, golden, true] as const),
]

test('the table is long enough', () => {
  expect(all.length).toBeGreaterThanOrEqual(40)
  expect(new Set(all.map(([name]) => name)).size).toBe(all.length)
})

describe('what providers report', () => {
  test.each(all)('%s', (_, golden, isAnthropic) => {
    const event = read(golden, isAnthropic)
    const prices: Prices = PRICES[golden.prices]
    if (!event.counts) throw new Error('no counts')
    const rated = rate(event.counts, prices, { tier: event.serviceTier })
    expect(rated).toEqual({ costNanos: sum(golden.parts), parts: golden.parts })
    expect(event.reportedNanos).toBe(golden.reported as bigint)
    // What is stored can be rated again.
    const stored = JSON.parse(JSON.stringify(event.usage))
    expect(costOf(stored, prices, { tier: event.serviceTier })).toBe(sum(golden.parts))
    expect(countsOf(stored)).toEqual(event.counts)
  })

  test('agrees with what they say that it costs, but for what they add', () => {
    const reported = OTHERS.filter(({ reported }) => reported !== undefined)
    const apart = reported.filter(({ parts, reported = 0n }) => differs(sum(parts), reported))
    expect(reported).toHaveLength(5)
    expect(apart.map(({ name }) => name)).toEqual([
      'OpenRouter: input written to the cache, and a search that only its cost shows',
      "OpenRouter: with a key of one's own, its cost is the fee and the provider's",
    ])
  })
})

const rates = fc.bigInt({ min: 0n, max: 1_000_000_000_000n })
const priced = fc.record(Object.fromEntries(KINDS.map((kind) => [kind, rates]))) as fc.Arbitrary<Rates>
const tokens = fc.integer({ min: 0, max: 5_000_000 })
const counted = fc.record(Object.fromEntries(KINDS.map((kind) => [kind, tokens]))) as fc.Arbitrary<Counts>
const kinds = fc.constantFrom(...KINDS)

describe('a cost', () => {
  test('has parts that add up to it, none of them negative', () => {
    fc.assert(
      fc.property(counted, priced, (counts, prices) => {
        const { costNanos, parts } = rate(counts, prices) ?? { costNanos: -1n, parts: {} }
        expect(sum(parts)).toBe(costNanos)
        expect(Object.values(parts).every((part) => part > 0n)).toBe(true)
      }),
    )
  })

  test('never falls when there is more of anything', () => {
    fc.assert(
      fc.property(counted, priced, kinds, tokens, (counts, prices, kind, more) => {
        const less = rate(counts, prices)?.costNanos ?? -1n
        const cost = rate({ ...counts, [kind]: counts[kind] + more }, prices)?.costNanos ?? -1n
        expect(less >= 0n && cost >= less).toBe(true)
      }),
    )
  })

  test('is unknown only when a price that it needs is', () => {
    const needs: Partial<Record<(typeof KINDS)[number], (keyof Rates)[]>> = {
      cachedInput: ['cachedInput', 'input'],
      cacheWrite: ['cacheWrite', 'input'],
      cacheWriteHour: ['cacheWriteHour', 'cacheWrite', 'input'],
      imageInput: ['imageInput', 'input'],
      cachedAudio: ['cachedAudio', 'audioInput'],
      reasoning: ['reasoning', 'output'],
    }
    const some = fc.subarray([...KINDS])
    fc.assert(
      fc.property(counted, priced, some, (counts, prices, known) => {
        const given = Object.fromEntries(known.map((kind) => [kind, prices[kind]])) as Rates
        const isKnown = KINDS.every(
          (kind) => counts[kind] === 0 || kind === 'request' || (needs[kind] ?? [kind]).some((name) => name in given),
        )
        expect(rate(counts, given) !== null).toBe(isKnown)
      }),
    )
  })
})
