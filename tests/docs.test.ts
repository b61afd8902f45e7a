/** What the documents say is so: commands run, links lead somewhere, names exist. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { loadConfig } from '../src/config'
import { ERRORS } from '../src/errors'
import { anchorsOf, type Block, blocksOf, linksOf, missingIn, proseOf, rowsOf } from './support/markdown'
import { freePort, until } from './support/servers'

const ROOT = join(import.meta.dir, '..')
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8')
const DOCUMENTS = [
  ...readdirSync(ROOT),
  ...readdirSync(join(ROOT, 'docs')).map((name) => `docs/${name}`),
  'bench/README.md',
].filter((path) => path.endsWith('.md'))

const scratch = mkdtempSync(join(tmpdir(), 'orchestrator-docs-'))
let base: string
let server: Bun.Subprocess
let operations: Set<string>

/** `GET /v1/runs/{}/stream`: whatever a parameter is called, and with or without a slash at the end. */
const plain = (method: string, path: string) =>
  `${method.toUpperCase()} ${path.replace(/\?.*/, '').replace(/\{\w*\}|:\w+|\$\w+/g, '{}')}`.replace(/\/$/, '')

beforeAll(async () => {
  const port = await freePort()
  base = `http://127.0.0.1:${port}`
  server = Bun.spawn([process.execPath, '--no-env-file', 'src/index.ts'], {
    cwd: ROOT,
    env: { PATH: process.env.PATH, PORT: String(port), DATA_DIR: join(scratch, 'data'), LOG_LEVEL: 'warn' },
    stdio: ['ignore', 'ignore', Bun.file(join(scratch, 'server.log'))],
  })
  await until(async () => (await fetch(`${base}/ready`).catch(() => undefined))?.status === 200, 30_000)
  const { paths } = (await (await fetch(`${base}/openapi.json`)).json()) as { paths: Record<string, object> }
  operations = new Set(
    Object.entries(paths).flatMap(([path, methods]) => Object.keys(methods).map((method) => plain(method, path))),
  )
}, 60_000)

afterAll(async () => {
  server.kill()
  await server.exited
  rmSync(scratch, { recursive: true, force: true })
})

/** Runs a document's commands in one shell, as a reader would, and gives what each block printed. */
async function runAll(blocks: Block[]): Promise<string[]> {
  const mark = '----- end of block -----'
  const commands = blocks.map(({ text }) => `${text.replaceAll('http://localhost:8000', base)}\necho; echo '${mark}'\n`)
  const shell = Bun.spawn(['bash', '-euo', 'pipefail', '-c', commands.join('')], {
    cwd: mkdtempSync(join(scratch, 'reader-')),
    env: { PATH: process.env.PATH },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [output, complaints] = await Promise.all([new Response(shell.stdout).text(), new Response(shell.stderr).text()])
  const printed = output.split(`${mark}\n`)
  const code = await shell.exited
  if (code !== 0) throw new Error(`Block ${printed.length} ended with ${code}: ${complaints}\n${printed.at(-1)}`)
  return printed
}

describe.each(DOCUMENTS)('%s', (path) => {
  const markdown = read(path)
  const blocks = blocksOf(markdown)
  const runnable = blocks.filter(({ info }) => info === 'bash run')

  const runsCommands = async () => {
    const printed = await runAll(runnable)
    const wrong = runnable.flatMap((block, i) => {
      const next = blocks[blocks.indexOf(block) + 1]
      const missing = next?.info.endsWith(' output') ? missingIn(printed[i] ?? '', next.text) : undefined
      return missing ? [{ missing, printed: printed[i] }] : []
    })
    expect(wrong).toEqual([])
  }
  if (runnable.length > 0) test('has commands that work and print what it says', runsCommands, 60_000)

  test('shows examples as they are in their files', () => {
    for (const { info, text } of blocks) {
      const file = /^\w+ (docs\/\S+)$/.exec(info)?.[1]
      if (file) expect(text).toBe(read(file))
    }
  })

  test('has links that lead somewhere', () => {
    const broken = linksOf(markdown).filter((target) => {
      if (/^https?:/.test(target)) return false
      const [file, anchor] = target.split('#', 2)
      const there = file ? join(dirname(path), file) : path
      return !existsSync(join(ROOT, there)) || (anchor !== undefined && !anchorsOf(read(there)).has(anchor))
    })
    expect(broken).toEqual([])
  })

  test('names operations that exist', () => {
    const named = [
      ...[...markdown.matchAll(/\b(GET|POST|PATCH|PUT|DELETE) (\/[\w/{}.:$?=-]+)/g)].map(([, m = '', p = '']) =>
        plain(m, p),
      ),
      ...requestsOf(blocks),
    ]
    expect(named.filter((name) => !operations.has(name) && !HIDDEN.has(name))).toEqual([])
  })

  test('names settings that exist', () => {
    const named = [...proseOf(markdown).matchAll(/`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?:=[^`]*)?`/g)].map(
      ([, name = '']) => name,
    )
    const known = new Set([...settings(), ...Object.keys(ERRORS), ...FOREIGN])
    expect(named.filter((name) => !known.has(name))).toEqual([])
  })
})

/** The requests that the commands in a document make. */
const requestsOf = (blocks: Block[]): string[] =>
  blocks
    .flatMap(({ text }) => text.replaceAll('\\\n', ' ').split('\n'))
    .flatMap((line) => {
      const [, path] = /\bcurl .*?\$BASE(\/[\w/{}.$?=-]+)/.exec(line) ?? []
      const [, method = / -d /.test(line) ? 'POST' : 'GET'] = / -X (\w+)/.exec(line) ?? []
      return path ? [plain(method, path)] : []
    })

/** Served, but no part of the API. */
const HIDDEN = new Set(['GET /docs', 'GET /openapi.json', 'GET /'])
/** Settings of others: Bun's, Railway's, the benchmark's, the LLM Observatory's. */
const FOREIGN = [
  ...['BUN_CONFIG_MAX_HTTP_REQUESTS', 'RAILWAY_RUN_UID', 'BENCH_DATABASE_URL'],
  ...['ANTHROPIC_API_KEY', 'DEFAULT_PROVIDER', 'OPENAI_DEFAULT_MODEL', 'MAX_TOKENS', 'DB_ECHO'],
  ...['SECRET_KEY', 'JWT_SECRET'],
]

/** Every name that `loadConfig` asks its environment for, with the embedded store and with a Supabase project. */
function settings(): Set<string> {
  const asked = new Set<string>()
  for (const given of [{ JWT_SECRET_KEY: SECRET }, SUPABASE] as Record<string, string>[]) {
    const get = (_: object, name: string) => {
      asked.add(name)
      return given[name]
    }
    loadConfig(new Proxy({}, { get }))
  }
  return asked
}

const SECRET = 'x'.repeat(32)
const SUPABASE = {
  JWT_SECRET_KEY: SECRET,
  STORE: 'edge',
  ACCOUNTS: 'supabase',
  SUPABASE_URL: 'https://abc.supabase.co',
  SUPABASE_ANON_KEY: 'anon',
}

describe('docs/api.md', () => {
  const rows = rowsOf(read('docs/api.md'))

  test('lists every operation', () => {
    const listed = rows.map(([name = '']) => name.split(' ')).map(([method = '', path = '']) => plain(method, path))
    expect([...operations].filter((name) => !listed.includes(name))).toEqual([])
  })

  test('has the table of errors', () => {
    const listed = rows
      .filter(([code = '']) => code in ERRORS)
      .map(([code, status, again]) => ({ code, status, again }))
    const errors = Object.entries(ERRORS).map(([code, { status, retry }]) => ({
      code,
      status: String(status),
      again: retry ? 'yes' : 'no',
    }))
    expect(listed).toEqual(errors)
  })
})

describe('docs/migration.md', () => {
  const rows = rowsOf(read('docs/migration.md')).filter(([method = '']) => /^(?:GET|POST|PATCH|DELETE)$/.test(method))

  test('says of each old operation whether it is here', () => {
    expect(rows.length).toBeGreaterThan(25)
    const wrong = rows.filter(([method = '', path = '', state = '']) => {
      const here = operations.has(plain(method, path)) || HIDDEN.has(plain(method, path))
      return here === /^not yet/.test(state)
    })
    expect(wrong).toEqual([])
  })
})

describe('README.md', () => {
  const rows = rowsOf(read('README.md'))

  test('names metrics that exist, and all of our own', async () => {
    const text = await (await fetch(`${base}/metrics`)).text()
    const metrics = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name = '']) => name)
    const named = [...read('README.md').matchAll(/`([a-z]+(?:_[a-z]+)*_(?:total|seconds|gauge|bytes))`/g)].map(
      ([, n = '']) => n,
    )
    expect(named.filter((name) => !metrics.includes(name))).toEqual([])
    const own = metrics.filter((name) => !/^(?:process|nodejs)_/.test(name))
    expect(own.filter((name) => !rows.some(([first]) => first === name))).toEqual([])
  })

  test('names every setting in its table', () => {
    const cells = rows.flat().join(' ')
    expect([...settings()].filter((name) => !cells.includes(name))).toEqual([])
  })

  test('says why each dependency is there', () => {
    const { dependencies, devDependencies } = JSON.parse(read('package.json'))
    const listed = rows.flatMap(([name = '']) => name.split(', '))
    const names = Object.keys({ ...dependencies, ...devDependencies })
    expect(names.filter((name) => !listed.includes(name))).toEqual([])
    const packages = listed.filter((name) => /^@?[\w-]+\/[\w-]+$/.test(name))
    expect(packages.filter((name) => !names.includes(name) && !existsSync(join(ROOT, name)))).toEqual([])
  })
})

describe('.env.example', () => {
  const lines = read('.env.example').split('\n')
  const listed = lines.flatMap((line, i) => {
    const [, name, value = ''] = /^# ([A-Z][A-Z0-9_]*)=(.*)$/.exec(line) ?? []
    return name ? [{ name, value, comment: lines[i - 1] ?? '' }] : []
  })

  test('lists the settings there are, once each, and nothing else', () => {
    expect(listed.map(({ name }) => name).sort()).toEqual([...settings()].sort())
    expect(lines.filter((line) => line && !line.startsWith('#'))).toEqual([])
  })

  test('says of each what it accepts', () => {
    for (const { comment } of listed) expect(comment).toMatch(/^# \S+ \S+/)
  })

  test('shows the defaults', () => {
    const shown = Object.fromEntries(listed.flatMap(({ name, value }) => (value ? [[name, value]] : [])))
    expect(loadConfig({ ...shown, JWT_SECRET_KEY: SECRET })).toEqual(loadConfig({ JWT_SECRET_KEY: SECRET }))
  })
})
