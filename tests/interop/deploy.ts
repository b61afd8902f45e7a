/** The files of deploy/ → the validators of those who read them. */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { installIfMissing } from '../support/install'
import { checksFor } from './checks'
import { spawn } from './children'

const DEPLOY = join(import.meta.dir, '../../deploy')

/** @param validators the folder of their commands. */
export async function deploySuite(validators: string, folder: string): Promise<void> {
  const { check } = checksFor('deploy', false)
  const manifests = readdirSync(join(DEPLOY, 'kubernetes')).filter((name) => name.endsWith('.yaml'))
  for (const name of manifests) {
    await check(`kubernetes/${name} is what Kubernetes takes, with nothing unknown in it`, () =>
      accepted([join(validators, 'kubernetes-validate'), '--strict', join(DEPLOY, 'kubernetes', name)]),
    )
  }
  await check('compose.yaml is what Docker Compose takes', () =>
    accepted([
      join(validators, 'check-jsonschema'),
      '--builtin-schema',
      'vendor.compose-spec',
      join(DEPLOY, 'compose.yaml'),
    ]),
  )
  await check('nginx.conf is what nginx takes', async () => {
    installIfMissing('nginx')
    const servers = await Bun.file(join(DEPLOY, 'nginx.conf')).text()
    // Names that only the composed network knows; nginx looks them up when it reads the file.
    await Bun.write(join(folder, 'servers.conf'), servers.replace(/server-\d:8000/g, '127.0.0.1:1'))
    const main = `pid ${folder}/nginx.pid; error_log stderr; events {} http { access_log off; include ${folder}/servers.conf; }`
    await Bun.write(join(folder, 'nginx.conf'), main)
    await accepted([nginx(), '-t', '-p', folder, '-c', join(folder, 'nginx.conf')])
  })
}

/** Debian keeps it where only root looks. */
const nginx = () => Bun.which('nginx') ?? '/usr/sbin/nginx'

async function accepted(command: string[]): Promise<void> {
  const child = spawn(command, { stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' })
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()])
  assert.equal(await child.exited, 0, `${out}${err}`)
}
