import { describe, expect, test } from 'bun:test'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'

const ROOT = join(import.meta.dir, '..')
const SRC = join(ROOT, 'src')

const filesIn = (folder: string) =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.tsx?$/.test(file) && !file.includes('node_modules'))
    .map((file) => join(folder, file))
    .sort()
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8')

interface Rule {
  files: RegExp
  /** What of ours these files may load; `own` is the folder they are in. Types may come from anywhere. */
  may: string[]
  /** Whether they know the web framework. */
  elysia: boolean
}

const PURE = ['lib', 'errors']

/** Who may load what when the program runs. The first rule that fits a file is its rule. */
const RULES: Rule[] = [
  { files: /^index$/, may: ['config', 'log', 'serve', 'wiring/embedded', 'workers'], elysia: false },
  { files: /^serve$/, may: ['app', 'config', 'drain', 'workers', 'wire'], elysia: false },
  { files: /^drain$/, may: ['workers', ...PURE], elysia: false },
  // What keeps the workers must stay small: it knows nothing of what they do.
  { files: /^workers\//, may: ['own', ...PURE], elysia: false },
  { files: /^app$/, may: ['plugins', 'modules', 'dialects'], elysia: true },
  // Chooses the implementations, so it sees all of them, but nothing that is made for browsers.
  {
    files: /^(wire$|wiring\/)/,
    may: [
      'own',
      'wiring',
      'config',
      'log',
      'modules',
      'plugins',
      'llm',
      'runs',
      'store',
      'cache',
      'bus',
      'limits',
      'load',
      'agent-runtime',
      'tools',
      ...PURE,
    ],
    elysia: false,
  },
  { files: /^config$/, may: ['lib', 'tools/file'], elysia: false },
  { files: /^(log|errors)$/, may: [], elysia: false },
  {
    files: /^modules\/[\w-]+\/index$/,
    may: ['own', 'dialects', 'plugins/admin', 'plugins/auth', 'plugins/docs', ...PURE],
    elysia: true,
  },
  // Words that several features share stand beside them.
  {
    files: /^modules\/([\w-]+\/model|paging|shapes|money)$/,
    may: ['own', 'modules/paging', 'modules/shapes', 'modules/money', ...PURE],
    elysia: true,
  },
  { files: /^modules\//, may: ['own', ...PURE], elysia: false },
  { files: /^plugins\//, may: ['own', ...PURE], elysia: true },
  { files: /^(llm|runs|store|cache|bus|limits|load|agent-runtime|tools)\//, may: ['own', ...PURE], elysia: false },
  { files: /^dialects\//, may: ['own', ...PURE], elysia: false },
  // `errors` is the one word of ours that helpers may say.
  { files: /^lib\//, may: ['own', 'errors'], elysia: false },
  { files: /^web\//, may: ['own', 'lib'], elysia: false },
]

const nameOf = (file: string) => relative('src', file).replace(/\.tsx?$/, '')
const ruleOf = (file: string) => RULES.find(({ files }) => files.test(nameOf(file)))

/** What a file loads at run time: imports that only bring types are left out. */
function loads(file: string): { ours: string[]; vendor: string[] } {
  const loader = file.endsWith('x') ? 'tsx' : 'ts'
  const paths = new Bun.Transpiler({ loader }).scanImports(read(file)).map(({ path }) => path)
  const resolve = (path: string) => relative(SRC, join(ROOT, dirname(file), path)).replace(/(\/index)?(\.tsx?)?$/, '')
  return {
    ours: paths
      .filter((path) => path.startsWith('.'))
      .map(resolve)
      .filter((path) => !path.startsWith('..')),
    vendor: paths.filter((path) => !path.startsWith('.')),
  }
}

/** `modules/keys` and `store` are folders of their own; what is directly in `src` has none. */
const ownFolder = (name: string) => /^modules\/[\w-]+/.exec(name)?.[0] ?? name.split('/')[0] ?? ''
const within = (folder: string, name: string) => name === folder || name.startsWith(`${folder}/`)

function violations(file: string): string[] {
  const rule = ruleOf(file)
  if (!rule) return [`${file} is nowhere in the table of imports`]
  const name = nameOf(file)
  const allowed = rule.may.map((area) => (area === 'own' ? ownFolder(name) : area))
  const { ours, vendor } = loads(file)
  const wrong = ours.filter((path) => !allowed.some((area) => within(area, path)))
  const framework = rule.elysia ? [] : vendor.filter((path) => /^(elysia|@elysiajs)\b/.test(path))
  return [...wrong, ...framework].map((path) => `${file} loads ${path}`)
}

describe('imports', () => {
  test('point one way', () => {
    expect(filesIn('src').flatMap(violations)).toEqual([])
  })

  test('are seen by this test', () => {
    expect(loads('src/app.ts').ours).toContain('modules/keys')
    expect(loads('src/wiring/store.ts').ours).toEqual(expect.arrayContaining(['store/edge-function', 'store/postgres']))
    expect(loads('src/modules/keys/service.ts').ours).not.toContain('modules/accounts/service')
  })

  test('leave the server free of what is for browsers', () => {
    const server = filesIn('src').filter((file) => !file.startsWith('src/web/'))
    expect(server.filter((file) => loads(file).vendor.some((path) => /^react/.test(path)))).toEqual([])
  })
})

/** The code of a file without its comments, line by line. */
const codeOf = (file: string) =>
  read(file)
    .replaceAll(/\/\*[\s\S]*?\*\//g, (comment) => comment.replaceAll(/[^\n]/g, ''))
    .split('\n')
    .map((line) => line.replace(/(^|\s)\/\/ .*$/, ''))

interface Ban {
  what: RegExp
  why: string
  in: string[]
  except?: string[]
}

const BANS: Ban[] = [
  {
    what: /process\.env/,
    why: 'the environment is read once, by index.ts, and goes through config',
    in: ['src'],
    except: ['src/index.ts'],
  },
  { what: /\bBun\.env\b|import\.meta\.env/, why: 'the environment by another name', in: ['src'] },
  { what: /\bconsole\./, why: 'the log is structured and hides secrets; the console does neither', in: ['src'] },
  { what: /\.onError\(/, why: 'one place turns failures into answers', in: ['src'], except: ['src/plugins/errors.ts'] },
  {
    what: /import \{[^}]*\bsse\b[^}]*\} from 'elysia'/,
    why: "Elysia's sse() does not escape line breaks; lib/sse does",
    in: ['src'],
  },
  {
    what: /\bmock\.module\(/,
    why: 'a mocked module stays mocked for other tests; give the service another port',
    in: ['tests'],
  },
  {
    what: /\b(test|it|describe)\.(skip|todo|only|skipIf|todoIf)\b/,
    why: 'a test runs, or it is no test',
    in: ['tests'],
  },
  { what: /: any\b|\bas any\b|<any>/, why: 'any switches the compiler off', in: ['src', 'tests'] },
]

const isHere = (file: string) => join(ROOT, file) === import.meta.path

/** Modules that work for others and have no address of their own. */
const INNER = new Set(['billing', 'feed'])

describe('the code', () => {
  test.each(BANS.map((ban) => [ban.what.source, ban] as const))('does not say %s', (_, ban) => {
    const files = ban.in.flatMap(filesIn).filter((file) => !isHere(file) && !ban.except?.includes(file))
    const found = files.flatMap((file) =>
      codeOf(file).flatMap((line, i) => (ban.what.test(line) ? [`${file}:${i + 1}: ${ban.why}`] : [])),
    )
    expect(found).toEqual([])
  })

  test('leaves nothing for later and hides nothing from the compiler', () => {
    const files = ['src', 'tests'].flatMap(filesIn).filter((file) => !isHere(file))
    const bad = /\bTODO\b|\bFIXME\b|\bXXX\b|@ts-ignore|@ts-nocheck|biome-ignore-all/
    expect(files.filter((file) => bad.test(read(file)))).toEqual([])
  })

  test('has a door, and a list of words where it takes any, in every module', () => {
    const entries = readdirSync(join(SRC, 'modules'), { withFileTypes: true })
    const modules = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name)
    const takesWords = (name: string) => /\b(body|query|params):/.test(read(`src/modules/${name}/index.ts`))
    const missing = modules.filter((name) => {
      if (INNER.has(name)) return false
      const files = readdirSync(join(SRC, 'modules', name))
      return !files.includes('index.ts') || (takesWords(name) && !files.includes('model.ts'))
    })
    expect(missing).toEqual([])
  })

  test('keeps no folder for what has no place', () => {
    const folders = filesIn('src').flatMap((file) => dirname(file).split('/'))
    expect(folders.filter((name) => /^(utils?|helpers?|common|misc|shared)$/.test(name))).toEqual([])
  })
})
