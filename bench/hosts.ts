/** The processes that are measured, each startable again and again: the upstream, the bare proxies, this server. */
import { join } from 'node:path'
import { otherCpus, root, targetCpus } from './lib/machine'
import { freePort, type Managed, start, tempDir, untilReady } from './lib/process'

/** A process that answers `POST /v1/chat/completions` and `GET /ready`. */
export abstract class Host {
  #managed: Managed | undefined
  #port = 0

  constructor(readonly name: string) {}

  protected abstract readonly script: string
  protected abstract env(): Record<string, string>
  protected readonly cpus: string | undefined = targetCpus

  get port(): number {
    return this.#port
  }

  get pid(): number {
    return this.#managed?.pid ?? 0
  }

  /** The API key the load sends. */
  get key(): string {
    return 'bench'
  }

  /** Starts and returns the milliseconds until `/ready` first answered 200. */
  async start(): Promise<number> {
    this.#port = freePort()
    const since = performance.now()
    this.#managed = start({
      command: [process.execPath, join(root, this.script)],
      env: {
        PORT: String(this.#port),
        BUN_CONFIG_MAX_HTTP_REQUESTS: '65535',
        ...this.env(),
      },
      cpus: this.cpus,
      cwd: root,
    })
    return untilReady(this.#managed, `${this.origin}/ready`, since)
  }

  /** Ends the process. @throws when it had ended by itself, with the last of what it wrote. */
  async stop(): Promise<void> {
    const managed = this.#managed
    if (managed?.ended === true) {
      this.#managed = undefined
      throw new Error(`${this.name} had ended by itself:\n${managed.log.slice(-1_000)}`)
    }
    await managed?.stop()
    this.#managed = undefined
  }

  /** A new process with the old data, ready for load. */
  async restart(): Promise<void> {
    await this.stop()
    await this.start()
    await this.prepare()
  }

  /** What is needed before load can be sent; may be called again. */
  async prepare(): Promise<void> {}

  get origin(): string {
    return `http://127.0.0.1:${this.#port}`
  }
}

export class Upstream extends Host {
  protected readonly script = 'bench/fake-upstream.ts'
  protected override readonly cpus = otherCpus

  protected env(): Record<string, string> {
    return {}
  }

  /** Ends the idle answers. */
  async release(): Promise<void> {
    await fetch(`${this.origin}/release`, { method: 'POST' })
  }

  /** How late its latest token was since the last time this was asked. */
  async takeWorstLagMs(): Promise<number> {
    const response = await fetch(`${this.origin}/stats`)
    return ((await response.json()) as { worstLagMs: number }).worstLagMs
  }
}

export class BareProxy extends Host {
  protected readonly script = 'bench/bare-proxy.ts'

  constructor(
    readonly mode: 'pass' | 'parse',
    readonly upstream: Upstream,
    name = mode === 'pass' ? 'bare proxy' : 'bare proxy, parsing',
  ) {
    super(name)
  }

  protected env(): Record<string, string> {
    return { MODE: this.mode, UPSTREAM: this.upstream.origin }
  }
}

/** This repository's server on PGlite, or on Postgres when a URL is given. */
export class ChatServer extends Host {
  protected readonly script: string = 'src/index.ts'
  readonly #dataDir: string
  readonly #secret = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('hex')
  /** Of the bench's account. */
  readonly email = `bench-${crypto.randomUUID()}@example.com`
  #key: string | undefined

  constructor(
    readonly upstream: Upstream,
    readonly databaseUrl?: string,
    name = databaseUrl === undefined ? 'server on PGlite' : 'server on Postgres',
  ) {
    super(name)
    this.#dataDir = tempDir('server')
  }

  override get key(): string {
    return this.#key ?? ''
  }

  get headers(): Record<string, string> {
    return { authorization: `Bearer ${this.key}`, 'content-type': 'application/json' }
  }

  protected env(): Record<string, string> {
    return {
      HOST: '127.0.0.1',
      DATA_DIR: this.#dataDir,
      NODE_ENV: 'production',
      JWT_SECRET_KEY: this.#secret,
      LOG_LEVEL: 'warn',
      OPENAI_BASE_URL: `${this.upstream.origin}/v1`,
      OPENAI_API_KEY: 'bench',
      ...(this.databaseUrl === undefined ? {} : { DATABASE_URL: this.databaseUrl }),
    }
  }

  /** An account and its API key, once; they are in the database after that. */
  override async prepare(): Promise<void> {
    this.#key ??= await this.#newKey(this.email)
  }

  /** API keys of so many new people. More than a few in an hour are refused. */
  async people(count: number): Promise<string[]> {
    const keys: string[] = []
    while (keys.length < count) keys.push(await this.#newKey(`bench-${crypto.randomUUID()}@example.com`))
    return keys
  }

  async #newKey(email: string): Promise<string> {
    const account = {
      email,
      password: crypto.randomUUID(),
      name: 'Bench',
    }
    const { tokens } = await this.#post<{ tokens: { access_token: string } }>('/api/v1/auth/register', account)
    const { data } = await this.#post<{ data: { key: string } }>('/v1/keys', { name: 'bench' }, tokens.access_token)
    return data.key
  }

  async #post<T>(path: string, body: object, token = ''): Promise<T> {
    const response = await fetch(this.origin + path, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        ...(token === '' ? {} : { authorization: `Bearer ${token}` }),
      },
      body: JSON.stringify(body),
    })
    if (!response.ok) throw new Error(`POST ${path}: ${response.status} ${(await response.text()).slice(0, 300)}`)
    return (await response.json()) as T
  }
}
