import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { until } from '../servers'

export interface RunningFunction {
  /** What `EDGE_FUNCTION_URL` is. */
  url: string
  /** Its log so far. */
  log: () => string
  stop: () => Promise<void>
}

export interface FunctionOptions {
  databaseUrl: string
  supabaseUrl?: string | undefined
  /** For HS256. */
  jwtSecret?: string | undefined
  /** Without it, the function decides as it does at Supabase: HS256 with a secret, published keys without. */
  algorithm?: 'HS256' | 'ES256' | 'RS256' | undefined
}

const ROOT = join(import.meta.dir, '../../..')
export const FUNCTION = join(ROOT, 'supabase/functions/conversation-manager')
const START_LIMIT_MS = 25_000

/** Deno's own program: what npm puts on the PATH starts it as a child, which would outlive a kill. */
export function denoPath(): string {
  const folder = join(ROOT, 'node_modules/@deno')
  const [platform] = readdirSync(folder)
  if (!platform) throw new Error('Deno is not installed')
  return join(folder, platform, 'deno')
}

/** Packages come from the repository's node_modules, so nothing is downloaded. */
export const DENO_OPTIONS = ['--node-modules-dir=manual', '--cached-only', '--no-lock']

/** Starts the function for real, on a port that the system chooses, and waits until it answers. */
export async function startFunction(options: FunctionOptions): Promise<RunningFunction> {
  const { PATH = '', HOME = '' } = process.env
  const child = Bun.spawn(
    [
      denoPath(),
      'run',
      '--no-prompt',
      '--allow-net',
      '--allow-env',
      '--allow-read',
      '--allow-sys',
      ...DENO_OPTIONS,
      '--preload',
      join(import.meta.dir, 'end-with-parent.ts'),
      'index.ts',
    ],
    {
      cwd: FUNCTION,
      env: {
        PATH,
        HOME,
        NO_COLOR: '1',
        DENO_NO_UPDATE_CHECK: '1',
        DENO_SERVE_ADDRESS: 'tcp:127.0.0.1:0',
        SUPABASE_DB_URL: options.databaseUrl,
        ...(options.supabaseUrl ? { SUPABASE_URL: options.supabaseUrl } : {}),
        ...(options.jwtSecret ? { JWT_SECRET_KEY: options.jwtSecret } : {}),
        ...(options.algorithm ? { JWT_ALGORITHM: options.algorithm } : {}),
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  let out = ''
  const listen = async (stream: ReadableStream<Uint8Array>) => {
    const decoder = new TextDecoder()
    for await (const chunk of stream) out += decoder.decode(chunk, { stream: true })
  }
  void listen(child.stdout)
  void listen(child.stderr)
  const stop = async () => {
    child.kill('SIGTERM')
    await child.exited
  }
  const address = () => /Listening on (http:\/\/[\d.:]+)/.exec(out)?.[1]
  try {
    await until(() => child.exitCode !== null || address() !== undefined, START_LIMIT_MS)
    if (child.exitCode !== null) throw new Error(`The function ended with ${child.exitCode}: ${out}`)
  } catch (error) {
    await stop()
    throw error
  }
  return { url: `${address()}/conversation-manager`, log: () => out, stop }
}
