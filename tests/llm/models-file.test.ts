import { describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseModelsFile } from '../../src/llm/models-file'
import { ModelsFileError } from '../../src/llm/models-file-error'
import type { Provider } from '../../src/llm/port'
import { blocksOf } from '../support/markdown'

const timeouts = { connect: 1, firstToken: 2, idle: 3, total: 4 }
const variable = (name: string) => (name === 'NOPE' ? undefined : `value of ${name}`)
const parse = (text: string, kept?: Map<string, Provider>) =>
  parseModelsFile(text, { variable, timeouts, ...(kept ? { kept } : {}) })

function problems(text: string): string[] {
  try {
    parse(text)
  } catch (error) {
    if (error instanceof ModelsFileError) return error.problems
    throw error
  }
  return []
}

const DOCUMENTED = blocksOf(readFileSync(join(import.meta.dir, '../../docs/models.md'), 'utf8'))
  .filter(({ info }) => info === 'yaml')
  .map(({ text }) => text)

describe('docs/models.md', () => {
  test('has complete examples without mistakes or warnings', () => {
    expect(DOCUMENTED).toHaveLength(2)
    for (const text of DOCUMENTED) expect(parse(text).warnings).toEqual([])
  })

  test('explains how a model leads to deployments', () => {
    const { routes, providers, listing } = parse(DOCUMENTED[0] ?? '')
    expect(routes.map(({ model }) => model)).toEqual(['gpt-4o', 'smart'])
    expect(routes[1]).toMatchObject({
      strategy: 'ordered',
      deployments: [
        { id: 'claude', model: 'claude-sonnet-4-5', weight: 1, prefill: true },
        { id: 'openai', model: 'gpt-4o', prefill: false },
      ],
    })
    expect(providers.map(({ name }) => name)).toEqual(['openai', 'claude'])
    expect(listing).toEqual([])
  })

  test('shows every key, and each has its effect', async () => {
    const { routes, providers, listing } = parse(DOCUMENTED[1] ?? '')
    expect(listing.map(({ name }) => name)).toEqual(['proxy'])
    expect(providers.map(({ personalKeys }) => personalKeys)).toEqual([false, false, false, false, false])
    const azure = providers.find(({ name }) => name === 'azure-eu')
    expect(await azure?.models(AbortSignal.timeout(100))).toMatchObject([{ id: 'my-deployment' }])
    const [weighted, assistant] = routes
    expect(weighted).toMatchObject({ strategy: 'weighted', hedgeAfterMs: 1500 })
    expect(weighted?.deployments.map(({ weight }) => weight)).toEqual([3, 3, 1])
    expect(assistant?.allow?.users).toHaveLength(1)
    expect(assistant?.split?.[1]).toEqual({ name: 'llama', weight: 10, deployments: ['new', 'old'] })
    expect(assistant?.deployments[1]).toMatchObject({ id: 'new', model: 'llama3.3:70b', prefill: true })
    expect(assistant?.deployments[0].facts).toEqual({
      displayName: 'Our assistant',
      contextWindow: 128_000,
      maxOutputTokens: 16_384,
      capabilities: ['vision', 'tools', 'reasoning', 'json', 'pdf', 'audio'],
      prices: {
        input: 2_500_000_000n,
        cachedInput: 1_250_000_000n,
        cacheWrite: 2_500_000_000n,
        output: 10_000_000_000n,
        reasoning: 10_000_000_000n,
      },
      priceSource: 'models_file',
      deprecatedAt: '2027-01-31',
    })
  })
})

test('says everything that is wrong at once, with its line, and what was meant', () => {
  const text = `providers:
  openai:
    kind: opanai
    api_key: \${NOPE}
    apikey: x
  "my provider":
    kind: openai
models:
  gpt/4:
    strategi: weighted
    deployments:
      - provider: openai
        weight: -1
      - {model: x}
    info:
      prices: {input: cheap}
      capabilities: [sight]
`
  expect(problems(text)).toEqual([
    'line 3, providers.openai.kind: must be one of openai, azure, anthropic, litellm',
    'line 4, providers.openai.api_key: the environment has no variable NOPE',
    'line 5, providers.openai.apikey: is no key here: did you mean api_key?',
    'line 6, providers.my provider: is no name that can be used here',
    'line 10, models.gpt/4.strategi: is no key here: did you mean strategy?',
    'line 13, models.gpt/4.deployments.0.weight: must be a number from 0 to 1000000',
    'line 14, models.gpt/4.deployments.1.provider: is missing',
    'line 16, models.gpt/4.info.prices.input: must be US dollars per million tokens',
    'line 17, models.gpt/4.info.capabilities.0: must be one of vision, tools, reasoning, json, pdf, audio',
  ])
})

test('says what does not belong together', () => {
  const text = `providers:
  openai: {kind: azure}
  proxy: {kind: litellm}
models:
  m:
    deployments: [{provider: opnai}, {provider: proxy}, {provider: proxy}]
    split: [{name: x, weight: 0, deployments: [prosy]}]
`
  expect(problems(text)).toEqual([
    'line 2, providers.openai: azure needs base_url',
    'line 2, providers.openai: azure needs api_key',
    'line 3, providers.proxy: litellm needs base_url',
    'line 6, models.m.deployments.0.provider: there is no opnai here: did you mean openai?',
    'line 6, models.m.deployments.2: needs an id: another one is called the same',
    'line 7, models.m.split.0.deployments: there is no prosy here: did you mean proxy?',
    'line 7, models.m.split: needs an arm with a weight above 0',
  ])
})

const bomb = `a: &a [x, x]\n${['b', 'c', 'd'].map((name, i) => `${name}: &${name} [${Array(9).fill(`*${'abc'[i]}`)}]`).join('\n')}`
test.each([
  ['nothing', '', /^line 1: must have/],
  ['a number', '5', /^line 1: must have/],
  ['a list', '- a', /^line 1: must have/],
  ['half a list', 'providers:\n  a: [', /^line 2: /],
  ['a key twice', 'providers:\n  a: {kind: openai}\n  a: {kind: openai}', /^line 3: Map keys must be unique/],
  ['tabs', 'providers:\n\ta: 1', /^line 2: /],
  ['aliases that grow', bomb, /alias/],
  [
    'a model without deployments',
    'providers: {a: {kind: openai}}\nmodels: {m: {deployments: []}}',
    /^line 2, models.m/,
  ],
  ['nothing to offer', 'providers: {a: {kind: openai}}', /offers nothing/],
  ['no models', 'providers: {a: {kind: openai, list: true}}\nmodels:', /^line 2, models: must have/],
  [
    'an address of another kind',
    'providers: {a: {kind: openai, base_url: "file:///etc/passwd"}}',
    /must be an address/,
  ],
  ['__proto__', '__proto__: {providers: {a: {kind: openai, list: true}}}', /line 1/],
])('refuses %s', (_, text, message) => {
  expect(problems(text)[0]).toMatch(message)
})

test('takes a key as it is, with a warning that does not repeat it', () => {
  const { warnings } = parse('providers:\n  a:\n    kind: openai\n    api_key: sk-secret\n    list: true\n')
  expect(warnings).toEqual([expect.stringMatching(/^line 4, providers\.a\.api_key: /)])
  expect(warnings.join()).not.toContain('sk-secret')
})

test('keeps the providers that have not changed', () => {
  const kept = new Map<string, Provider>()
  const text = (second: string) =>
    `providers:\n  a: {kind: openai, list: true}\n  b: {kind: openai, base_url: "${second}", list: true}\n`
  const before = parse(text('http://one'), kept).providers
  const after = parse(text('http://two'), kept).providers
  expect(after[0]).toBe(before[0] as Provider)
  expect(after[1]).not.toBe(before[1] as Provider)
  expect(kept.size).toBe(2)
  expect(() => parse('providers: 5', kept)).toThrow(ModelsFileError)
  expect(kept.size).toBe(2)
})
