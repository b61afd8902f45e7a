/** The processes of the comparison in Edge mode: the fake Supabase, the two calls by themselves, this server. */
import { SignJWT } from 'jose'
import { BareProxy, Host, type Upstream } from './hosts'
import { otherCpus } from './lib/machine'
import { tempDir } from './lib/process'

export class FakeSupabase extends Host {
  protected readonly script = 'bench/fake-supabase.ts'
  protected override readonly cpus = otherCpus

  protected env(): Record<string, string> {
    return {}
  }

  /** How often each call was made since the last time this was asked. */
  async takeCalls(): Promise<Readonly<Record<string, number>>> {
    const response = await fetch(`${this.origin}/take-calls`)
    return (await response.json()) as Record<string, number>
  }
}

/** A bare proxy that makes the two calls before it asks the upstream: what no server in this place can be without. */
export class TwoCallsProxy extends BareProxy {
  constructor(
    upstream: Upstream,
    readonly supabase: FakeSupabase,
  ) {
    super('pass', upstream, 'bare proxy, two calls')
  }

  protected override env(): Record<string, string> {
    return { ...super.env(), SUPABASE: this.supabase.origin }
  }
}

/** This repository's server on a Supabase project, used by one of its people. */
export class EdgeServer extends Host {
  protected readonly script = 'src/index.ts'
  readonly #dataDir = tempDir('edge')
  readonly #secret = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('hex')
  #token: string | undefined

  constructor(
    readonly upstream: Upstream,
    readonly supabase: FakeSupabase,
  ) {
    super('server in Edge mode')
  }

  override get key(): string {
    return this.#token ?? ''
  }

  protected env(): Record<string, string> {
    const { origin } = this.supabase
    return {
      HOST: '127.0.0.1',
      DATA_DIR: this.#dataDir,
      NODE_ENV: 'production',
      JWT_SECRET_KEY: this.#secret,
      LOG_LEVEL: 'warn',
      SUPABASE_URL: origin,
      SUPABASE_ANON_KEY: 'bench',
      EDGE_FUNCTION_URL: `${origin}/functions/v1`,
      LITELLM_URL: `${this.upstream.origin}/v1`,
      DEFAULT_MODEL: 'bench:16x0',
    }
  }

  /** A token as Supabase Auth gives it, good for longer than any run. */
  override async prepare(): Promise<void> {
    this.#token ??= await new SignJWT({ email: 'bench@example.com', role: 'authenticated' })
      .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
      .setSubject(crypto.randomUUID())
      .setAudience('authenticated')
      .setIssuer(`${this.supabase.origin}/auth/v1`)
      .setIssuedAt()
      .setExpirationTime('6h')
      .sign(new TextEncoder().encode(this.#secret))
  }
}
