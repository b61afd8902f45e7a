import { describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { readMcpFile } from '../../src/tools/file'
import { blocksOf } from '../support/markdown'

const read = (text: string, env: Record<string, string> = {}) => readMcpFile(text, (name) => env[name])
const DEFAULTS = { steps: 8, call_seconds: 30, result_kb: 64, tools: 64 }

test('reads YAML, with variables in it', () => {
  const text = `
servers:
  wiki:
    url: https://wiki.example.com/mcp
    headers: { authorization: "Bearer \${WIKI_TOKEN}" }
    tools: { allow: [search], approve: true }
  files:
    command: mcp-files
    args: [--root, "\${ROOT}/data"]
    tenants: [0199c0de-0000-7000-8000-000000000001]
limits: { steps: 3 }`
  expect(read(text, { WIKI_TOKEN: 's', ROOT: '/srv' })).toEqual({
    problems: [],
    settings: {
      servers: {
        wiki: {
          url: 'https://wiki.example.com/mcp',
          headers: { authorization: 'Bearer s' },
          tools: { allow: ['search'], approve: true },
        },
        files: {
          command: 'mcp-files',
          args: ['--root', '/srv/data'],
          tenants: ['0199c0de-0000-7000-8000-000000000001'],
        },
      },
      limits: { ...DEFAULTS, steps: 3 },
    },
  })
})

test('reads JSON', () => {
  expect(read('{"servers":{"a":{"url":"http://localhost:1/mcp"}}}').settings).toEqual({
    servers: { a: { url: 'http://localhost:1/mcp' } },
    limits: DEFAULTS,
  })
})

describe('says all that is wrong', () => {
  test.each([
    ['servers: [', [/^is neither YAML nor JSON/]],
    ['', [/./]],
    [
      `servers: { a: { url: "\${HERE}", headers: { x: "\${THERE}" } } }`,
      [/\$\{HERE\}, which is not set/, /\$\{THERE\}/],
    ],
    ['servers: { a: { url: ftp://x } }', [/^servers\.a\.url: must be an address/]],
    [
      'servers: { a: {}, b: { url: "http://x", command: y } }',
      [/^servers\.a: needs either/, /^servers\.b: needs either/],
    ],
    [
      'servers: { a: { url: "http://x", args: [y] }, b: { command: y, headers: { z: z } } }',
      [/args and env/, /headers/],
    ],
    ['servers: { "a__b": { url: "http://x" }, "": { url: "http://x" } }', [/^servers\.a__b: a name/, /a name/]],
    [
      'servers: { a: { url: "http://x", headerz: {} } }',
      [/^servers\.a\.headerz: there is no such setting, did you mean headers\?/],
    ],
    [
      'servers: { a: { url: "http://x", tools: { approve: yes please } } }',
      [/approve: must be a list of tools, or true/],
    ],
    ['servers: { a: { url: "http://x", timeout_s: 0 } }\nlimits: { steps: 1.5 }', [/timeout_s: /, /^limits\.steps: /]],
  ] as const)('of %s', (text, wanted) => {
    const { settings, problems } = read(text)
    expect(settings).toBeUndefined()
    for (const [i, pattern] of wanted.entries()) expect(problems[i]).toMatch(pattern)
    expect(problems).toHaveLength(wanted.length)
  })

  test('without the values of variables', () => {
    const { problems } = read(`servers: { a: { url: "\${SECRET}" } }`, { SECRET: 'hidden' })
    expect(problems.join()).not.toContain('hidden')
  })
})

test('reads the example of docs/tools.md', () => {
  const page = readFileSync(join(import.meta.dir, '../../docs/tools.md'), 'utf8')
  const [example] = blocksOf(page).filter(({ info }) => info === 'yaml')
  const { settings, problems } = read(example?.text ?? '', { WIKI_TOKEN: 'x' })
  expect(problems).toEqual([])
  expect(Object.keys(settings?.servers ?? {})).toEqual(['wiki', 'files'])
  expect(settings?.limits).toEqual(DEFAULTS)
})
