import { existsSync } from 'node:fs'
import { postgresBin } from './servers'

/** Debian's packages that tests use, and how to see that one is there. */
const PACKAGES = {
  postgresql: () => postgresBin() !== undefined,
  'redis-server': () => Bun.which('redis-server') !== null,
  chromium: () => Bun.which('chromium') !== null,
  // Where only root looks for programs.
  nginx: () => Bun.which('nginx') !== null || existsSync('/usr/sbin/nginx'),
}

/** Installs what is missing on a Debian machine as root; elsewhere says in one line what that is. */
export function installIfMissing(...needed: (keyof typeof PACKAGES)[]): void {
  const missing = needed.filter((name) => !PACKAGES[name]())
  if (missing.length === 0) return
  if (!existsSync('/etc/debian_version') || process.getuid?.() !== 0) {
    throw new Error(`The tests need ${missing.join(' and ')}: install it and run them again`)
  }
  for (const args of [
    ['update', '-qq'],
    ['install', '-y', '-qq', '--no-install-recommends', ...missing],
  ]) {
    const done = Bun.spawnSync(['apt-get', ...args], {
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    if (done.exitCode !== 0) throw new Error(`apt-get ${args.join(' ')} failed`)
  }
}
