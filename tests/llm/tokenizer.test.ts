import { afterAll, describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { countTokens } from 'gpt-tokenizer/encoding/o200k_base'
import { estimated, percentOf, wordsOf } from '../../src/llm/estimate'
import { Tokenizer } from '../../src/llm/tokenizer'
import { pieces } from '../../src/llm/tokenizer-pieces'

const tokenizer = new Tokenizer()
afterAll(() => tokenizer.close())

describe('the tokenizer', () => {
  test('counts as OpenAI does', async () => {
    // The third is in https://developers.openai.com/cookbook/examples/how_to_count_tokens_with_tiktoken, for o200k.
    const texts = ['', 'hello world', 'tiktoken is great!', '<|endoftext|>', 'Привет, мир']
    expect(await tokenizer.count(texts)).toEqual([0, 2, 6, 7, 4])
  })

  test('counts a long text in pieces as it does in one', async () => {
    const text = readFileSync(join(import.meta.dir, '../../README.md'), 'utf8')
    expect([...pieces(text)].length).toBeGreaterThan(5)
    expect(await tokenizer.count([text])).toEqual([countTokens(text)])
  })

  test('is not held up by a word without an end', async () => {
    const begun = performance.now()
    const [count] = await tokenizer.count(['a'.repeat(100_000)])
    expect(count).toBeGreaterThan(10_000)
    expect(performance.now() - begun).toBeLessThan(10_000)
  })

  test('begins again after its worker has ended', async () => {
    const other = new Tokenizer()
    expect(await other.count(['hello world'])).toEqual([2])
    other.close()
    expect(await Promise.all([other.count(['hello']), other.count(['hello world'])])).toEqual([[1], [2]])
    other.close()
  })

  test('cuts texts without losing anything, nor a character in two', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 100 }), fc.integer({ min: 0, max: 300 }), (text, times) => {
        const long = text.repeat(times)
        const cut = [...pieces(long)]
        expect(cut.join('')).toBe(long)
        expect(cut.every((piece) => piece.isWellFormed())).toBe(true)
      }),
    )
  })
})

describe('an estimate', () => {
  const request = { messages: [{ role: 'user', content: 'hello world' }], params: {} }

  test('counts the request and what was delivered, and says that it is one', async () => {
    const delivered = { said: 'hello world', thought: 'hello' }
    const event = await estimated({ request, delivered, model: 'gpt-4o' }, tokenizer)
    // The role is a word, too; each message has a frame of 4.
    const prompt = event.usage.prompt_tokens
    expect(prompt).toBeGreaterThanOrEqual(2 + 4)
    expect(prompt).toBeLessThan(12)
    expect(event).toMatchObject({
      usage: {
        completion_tokens: 3,
        total_tokens: prompt + 3,
        completion_tokens_details: { reasoning_tokens: 1 },
        cost_basis: 'estimated',
      },
      counts: { input: prompt, output: 2, reasoning: 1, request: 1 },
      costBasis: 'estimated',
    })
  })

  test('takes images and files as what they cost at most, not as text', async () => {
    const bytes = `data:image/png;base64,${'A'.repeat(100_000)}`
    const content = [{ type: 'image_url', image_url: { url: bytes } }]
    const asked = { messages: [{ role: 'user', content }], params: {} }
    const { usage } = await estimated(
      { request: asked, delivered: { said: '', thought: '' }, model: 'gpt-4o' },
      tokenizer,
    )
    expect(usage.prompt_tokens).toBeLessThan(2000)
    expect(usage.prompt_tokens).toBeGreaterThan(1600)
  })

  test('never falls when more is delivered', async () => {
    const text = 'one two three four five six seven'
    let before = 0
    for (let k = 0; k <= text.length; k++) {
      const delivered = { said: text.slice(0, k), thought: '' }
      const { usage } = await estimated({ request, delivered, model: 'claude-opus-4-6' }, tokenizer)
      // A word that is not complete may take one more than the word.
      expect(usage.completion_tokens).toBeGreaterThanOrEqual(before - 2)
      before = Math.max(before, usage.completion_tokens)
    }
    expect(before).toBeGreaterThanOrEqual(7)
  })

  test.each([
    ['gpt-4o-mini', 100],
    ['openai/gpt-5.1', 100],
    ['o3-mini', 100],
    ['gpt-4.1', 100],
    ['claude-sonnet-4-5', 116],
    ['claude-opus-4-7', 135],
    ['gemini-2.5-flash', 105],
    ['meta-llama/llama-3.3-70b', 110],
  ])('knows how %s counts', (model, percent) => {
    expect(percentOf(model)).toBe(percent)
  })

  test('reads the words of calls and thoughts', () => {
    const tool_calls = [{ index: 0, id: 'x', function: { name: 'find', arguments: '{"a"' } }, { index: 1 }]
    expect(wordsOf({ content: 'Hi', tool_calls, reasoning: 'hm' })).toEqual({ said: 'Hifind{"a"', thought: 'hm' })
    expect(wordsOf({ content: null, tool_calls: [null, 3, { function: null }] })).toEqual({ said: '', thought: '' })
  })
})
