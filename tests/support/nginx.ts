import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort, type TestServer, until } from './servers'

const CONFIG = join(import.meta.dir, '../../deploy/nginx.conf')

/**
 * nginx with the settings of deploy/, in front of servers on these ports of this machine.
 * @param scratch a folder for its files.
 */
export async function startNginx(scratch: string, ports: number[]): Promise<TestServer> {
  const port = await freePort()
  const [line = '', settings = ''] = /server server-1:8000(.*);/.exec(readFileSync(CONFIG, 'utf8')) ?? []
  const servers = ports.map((server) => `server 127.0.0.1:${server}${settings};`).join('\n  ')
  const site = readFileSync(CONFIG, 'utf8')
    .replace(line, servers)
    .replace(/^.*server server-\d:8000.*\n/gm, '')
    .replace('listen 80;', `listen 127.0.0.1:${port};`)
  writeFileSync(join(scratch, 'site.conf'), site)
  writeFileSync(join(scratch, 'nginx.conf'), mainConfig(scratch))
  const command = [Bun.which('nginx') ?? '/usr/sbin/nginx', '-p', scratch, '-c', join(scratch, 'nginx.conf')]
  const server = Bun.spawn(command, { stdio: ['ignore', 'ignore', Bun.file(join(scratch, 'nginx.log'))] })
  await until(() => listens(port))
  return {
    url: `http://127.0.0.1:${port}`,
    async stop() {
      server.kill('SIGTERM')
      await server.exited
    },
  }
}

const mainConfig = (scratch: string) => `
daemon off;
${process.getuid?.() === 0 ? 'user root;' : ''}
pid ${scratch}/nginx.pid;
error_log stderr error;
worker_processes 1;
events { worker_connections 4096; }
http {
  access_log off;
  ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${scratch}/${name};`).join('\n  ')}
  include ${scratch}/site.conf;
}
`

const listens = async (port: number) => {
  try {
    ;(await Bun.connect({ hostname: '127.0.0.1', port, socket: { data() {} } })).end()
    return true
  } catch {
    return false
  }
}
