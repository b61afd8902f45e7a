/** Python virtual environments under .cache/interop: several, since LiteLLM needs an older OpenAI SDK than the newest. */
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { say } from './checks'
import { spawn } from './children'

export const LITELLM_VERSION = '1.102.4'
export const OPENAI_VERSION = '3.52.0'
const VALIDATORS = 'kubernetes-validate==1.37.0 check-jsonschema==0.39.0'

const HERE = import.meta.dir
const CACHE = join(HERE, '../../.cache/interop')
const INSTALL_LIMIT_MS = 5 * 60_000

export type PythonEnvs = { litellm: string; python: string; validators: string }

/** Paths of the `litellm` command, of a Python that has the OpenAI SDK and of validators' commands; installs what is missing. */
export async function preparePython(): Promise<PythonEnvs> {
  await requireVenv()
  const litellm = await environment('litellm', `litellm[proxy]==${LITELLM_VERSION}`, 'litellm.lock.txt')
  const openai = await environment('openai', `openai==${OPENAI_VERSION}`, 'openai.lock.txt')
  const validators = await environment('validators', VALIDATORS, 'validators.lock.txt')
  return {
    litellm: join(litellm, 'bin/litellm'),
    python: join(openai, 'bin/python3'),
    validators: join(validators, 'bin'),
  }
}

/** @param requirements packages with their versions, separated by spaces. */
async function environment(name: string, requirements: string, lockFile: string): Promise<string> {
  const folder = join(CACHE, name)
  const lock = join(HERE, lockFile)
  const stamp = join(folder, 'installed.txt')
  const wanted = `${requirements}\n${await Bun.file(lock).text()}`
  if (existsSync(stamp) && (await Bun.file(stamp).text()) === wanted) {
    say(`reuse ${requirements} in .cache/interop/${name}`)
    return folder
  }
  say(`install ${requirements} in .cache/interop/${name} (about a minute)`)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(CACHE, { recursive: true })
  await run(['python3', '-m', 'venv', folder])
  await run([
    join(folder, 'bin/pip'),
    'install',
    '--quiet',
    '--disable-pip-version-check',
    '-c',
    lock,
    ...requirements.split(' '),
  ])
  // Written last: an interrupted installation starts over.
  await Bun.write(stamp, wanted)
  return folder
}

async function requireVenv(): Promise<void> {
  if (!Bun.which('python3')) throw new Error('These tests need python3 (3.11 or newer) on the PATH')
  if (await works(['python3', '-c', 'import venv, ensurepip'])) return
  if (process.getuid?.() === 0 && Bun.which('apt-get')) {
    say('install python3-venv with apt-get')
    await run(['apt-get', 'update', '-qq'])
    await run(['apt-get', 'install', '-qq', '-y', 'python3-venv'])
    if (await works(['python3', '-c', 'import venv, ensurepip'])) return
  }
  throw new Error('These tests need the venv module of Python: on Debian, apt-get install python3-venv')
}

const works = (command: string[]): Promise<boolean> =>
  run(command).then(
    () => true,
    () => false,
  )

/** The whole environment is passed on, as pip's settings live there. */
async function run(command: string[]): Promise<void> {
  const child = spawn(command, {
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    timeout: INSTALL_LIMIT_MS,
  })
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()])
  if ((await child.exited) !== 0) throw new Error(`${command.join(' ')} failed\n${`${out}${err}`.slice(-2_000)}`)
}
