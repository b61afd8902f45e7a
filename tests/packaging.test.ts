/** What surrounds the source: the image, the platform's file, scripts and versions fit the repository and each other. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { type TestApp, testApp } from './support/app'

const ROOT = join(import.meta.dir, '..')
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8')
const pkg = JSON.parse(read('package.json')) as Record<
  'scripts' | 'dependencies' | 'devDependencies',
  Record<string, string>
>

let app: TestApp
let url: URL
beforeAll(async () => {
  app = await testApp()
  url = new URL(app.listen())
})
afterAll(() => app.close())

/** What is or could be committed. */
const files = (): string[] =>
  Bun.spawnSync(['git', 'ls-files', '-co', '--exclude-standard'], { cwd: ROOT })
    .stdout.toString()
    .split('\n')
    .filter((file) => file && existsSync(join(ROOT, file)))

describe('Dockerfile', () => {
  /** Instructions with continuation lines joined and comments gone. */
  const instructions = read('Dockerfile')
    .replace(/^#.*\n/gm, '')
    .replace(/\\\n\s*/g, '')
    .split('\n')
    .filter(Boolean)
    .map((line) => ({ word: line.split(' ', 1)[0] ?? '', rest: line.slice(line.indexOf(' ') + 1).trim() }))
  const all = (word: string) => instructions.filter((each) => each.word === word).map(({ rest }) => rest)
  const last = (word: string) => all(word).at(-1) ?? ''
  const copied = all('COPY')
    .filter((rest) => !rest.startsWith('--from'))
    .flatMap((rest) => rest.split(/\s+/).slice(0, -1))

  test('copies what is there and what .dockerignore lets through', () => {
    const allowed = read('.dockerignore')
      .split('\n')
      .filter((line) => line.startsWith('!'))
      .map((line) => line.slice(1))
    expect(read('.dockerignore')).toMatch(/^\*$/m)
    expect(copied.filter((path) => !existsSync(join(ROOT, path)))).toEqual([])
    expect([...new Set(copied)].sort()).toEqual(allowed.sort())
  })

  test('takes over nothing that the first stage does not make', () => {
    expect(all('FROM').map((rest) => / AS (\S+)$/.exec(rest)?.[1])).toEqual(['build', undefined])
    expect(all('COPY').filter((rest) => rest.startsWith('--from'))).toEqual([
      '--from=build /app/node_modules ./node_modules',
    ])
  })

  test('installs with the Bun that package.json names', () => {
    const install = all('RUN').find((rest) => rest.includes('npx')) ?? ''
    expect(install).toEndWith('install --frozen-lockfile --production')
    const expression = /"bun@(\$\(.*?\))" /.exec(install)?.[1] ?? ''
    const version = Bun.spawnSync(['bash', '-c', `echo ${expression}`], { cwd: ROOT })
      .stdout.toString()
      .trim()
    expect(version).toBe(pkg.dependencies.bun ?? '')
  })

  test('starts the server itself, without a shell and without rights', () => {
    const [program, file] = JSON.parse(last('CMD')) as string[]
    expect(program).toBe('bun')
    expect(existsSync(join(ROOT, file ?? ''))).toBe(true)
    expect(last('USER')).toMatch(/^[a-z]+$/)
    expect(last('USER')).not.toBe('root')
    const made = all('RUN').find((rest) => rest.includes('useradd')) ?? ''
    expect(made).toContain(`chown ${last('USER')}:${last('USER')} /data`)
    expect(all('VOLUME')).toEqual([])
  })

  test('sets what a production server needs, except the secret', () => {
    const env = Object.fromEntries(
      last('ENV')
        .split(/\s+/)
        .map((pair) => pair.split('=') as [string, string]),
    )
    expect(env).toMatchObject({ NODE_ENV: 'production', PORT: '8000', DATA_DIR: '/data' })
    expect(Number(env.BUN_CONFIG_MAX_HTTP_REQUESTS)).toBeGreaterThan(256)
    expect(env).not.toContainKey('JWT_SECRET_KEY')
    expect(last('EXPOSE')).toBe(env.PORT ?? '')
  })

  test('has a health check that tells a living server from a dead one', async () => {
    const [, command = '[]'] = /CMD (\[.*\])$/.exec(last('HEALTHCHECK')) ?? []
    const [, ...args] = JSON.parse(command) as string[]
    const check = (port: string) =>
      Bun.spawn([process.execPath, ...args], { env: { PORT: port }, stdio: ['ignore', 'ignore', 'ignore'] }).exited
    expect(await check(url.port)).toBe(0)
    // Nobody listens on the port with number 1.
    expect(await check('1')).not.toBe(0)
  })

  test('holds everything that the source imports', () => {
    const outside = files()
      .filter((file) => /^src\/.*\.tsx?$/.test(file))
      .flatMap((file) => importsOf(file).map((path) => ({ file, path })))
      .filter(({ file, path }) => !isInImage(file, path))
    expect(outside).toEqual([])
  })

  function isInImage(file: string, path: string): boolean {
    if (/^(?:bun|node):|^bun$/.test(path)) return true
    if (path.startsWith('.')) {
      const target = relative(ROOT, join(ROOT, dirname(file), path))
      return copied.some((from) => target === from || target.startsWith(`${from}/`))
    }
    const name = path.split('/', path.startsWith('@') ? 2 : 1).join('/')
    return name in pkg.dependencies
  }
})

/** What a file imports at run time: types are gone by then. */
function importsOf(file: string): string[] {
  const loader = file.endsWith('x') ? 'tsx' : 'ts'
  return new Bun.Transpiler({ loader }).scanImports(read(file)).map(({ path }) => path)
}

describe('railway.json', () => {
  const { build, deploy } = JSON.parse(read('railway.json'))

  test('builds the Dockerfile and asks a route that says whether traffic may come', async () => {
    expect(build.builder).toBe('DOCKERFILE')
    expect(existsSync(join(ROOT, build.dockerfilePath))).toBe(true)
    expect((await fetch(new URL(deploy.healthcheckPath, url))).status).toBe(200)
    app.services.health.draining = true
    expect((await fetch(new URL(deploy.healthcheckPath, url))).status).toBe(503)
    app.services.health.draining = false
  })

  test('gives answers longer to finish than the server itself does', () => {
    expect(deploy.drainingSeconds).toBeGreaterThan(app.services.config.server.drainTimeout)
  })
})

describe('package.json', () => {
  test('has exact versions only', () => {
    const versions = Object.entries({ ...pkg.dependencies, ...pkg.devDependencies })
    expect(versions.filter(([, version]) => !/^(?:npm:[\w@/-]+@)?\d+\.\d+\.\d+(?:-[\w.]+)?$/.test(version))).toEqual([])
  })

  test("is the only place written by hand that has Bun's version, and the tests run on it", () => {
    const version = pkg.dependencies.bun ?? ''
    expect(Bun.version).toBe(version)
    const written = files().filter(
      (file) => !/lock|^bench\/results\/|\.tgz$/.test(file) && statSync(join(ROOT, file)).size < 1e6,
    )
    expect(written.filter((file) => read(file).includes(version))).toEqual(['package.json'])
  })

  test('has scripts that call what exists', () => {
    const missing = Object.entries(pkg.scripts).flatMap(([name, script]) =>
      script
        .split(/\s*&&\s*/)
        .map((command) => command.replace(/^(?:[A-Z_]+=\S+\s+)*/, '').split(/\s+/))
        .flatMap(([program = '', ...args]) => [
          ...(existsSync(join(ROOT, 'node_modules/.bin', program)) ? [] : [`${name}: ${program}`]),
          ...args.filter((arg) => /\.ts$/.test(arg) && !existsSync(join(ROOT, arg))).map((arg) => `${name}: ${arg}`),
        ]),
    )
    expect(missing).toEqual([])
  })
})

describe('.ci/run', () => {
  const script = read('.ci/run')

  test('may be executed and is sound shell', () => {
    expect(statSync(join(ROOT, '.ci/run')).mode & 0o111).not.toBe(0)
    expect(Bun.spawnSync(['bash', '-n', '.ci/run'], { cwd: ROOT }).exitCode).toBe(0)
  })

  test('runs scripts that exist', () => {
    const loops = [...script.matchAll(/^for suite in ([^;]+);/gm)].flatMap(([, names = '']) => names.split(/\s+/))
    const named = [...script.matchAll(/\bbun run ([a-z][\w:-]*)/g)].map(([, name = '']) => name)
    expect(named.length).toBeGreaterThan(0)
    expect([...loops, ...named].filter((name) => !(name in pkg.scripts))).toEqual([])
  })
})
