/** A thing this server needs, and how to see whether it is there. */
export interface Dependency {
  name: string
  /** Without it there is no service; otherwise its loss is only a loss of something. */
  required: boolean
  /**
   * Resolves with `{ degraded }` and a short reason when it works in part.
   * @throws when it is not well; the message is shown to operators and must hold no secret.
   */
  check: () => Promise<unknown>
}

export interface Checked {
  status: 'ok' | 'degraded' | 'failed'
  latency_ms: number
  message?: string
}

/** Something that is done with Redis where there is one. */
export interface RedisUse {
  name: string
  /** `local`: each server does it for itself, for want of Redis or while Redis does not serve. */
  mode: () => 'redis' | 'local'
}

/** Milliseconds a dependency has to answer. */
const PATIENCE = 2000
/** Milliseconds a result is good for: `/health` is public, and must not be a way to load what it looks at. */
const FRESH_FOR = 2000

export class Health {
  /** Set by the drain: load balancers shall send nobody new. */
  draining = false
  private last: { at: number; result: Promise<Record<string, Checked>> } | undefined

  /**
   * @param dependencies asked each time: a reload may bring others.
   * @param redisUses asked each time.
   */
  constructor(
    private readonly dependencies: () => Dependency[],
    private readonly redisUses: readonly RedisUse[] = [],
  ) {}

  /**
   * Every dependency with its latency, and how each thing that Redis is for is done now; `failed` when a required dependency is
   * away, `degraded` when another is.
   */
  async report() {
    const dependencies = this.dependencies()
    const checks = await this.checks(dependencies)
    const weak = dependencies.filter(({ name }) => checks[name]?.status !== 'ok')
    const failed = weak.some(({ name, required }) => required && checks[name]?.status === 'failed')
    const status = failed ? 'failed' : weak.length > 0 ? 'degraded' : 'ok'
    const redis = Object.fromEntries(this.redisUses.map(({ name, mode }) => [name, mode()]))
    return { status, checks, redis } as const
  }

  async ready(): Promise<boolean> {
    return !this.draining && (await this.report()).status !== 'failed'
  }

  private checks(dependencies: Dependency[]): Promise<Record<string, Checked>> {
    if (!this.last || Date.now() - this.last.at > FRESH_FOR) {
      const all = Promise.all(dependencies.map(async (d) => [d.name, await checked(d)] as const))
      this.last = { at: Date.now(), result: all.then(Object.fromEntries) }
    }
    return this.last.result
  }
}

async function checked({ check }: Dependency): Promise<Checked> {
  const begun = performance.now()
  const elapsed = () => Math.round((performance.now() - begun) * 100) / 100
  const late = new Promise((_, reject) => {
    setTimeout(() => reject(new Error(`no answer within ${PATIENCE} ms`)), PATIENCE).unref()
  })
  try {
    const found = await Promise.race([check(), late])
    const degraded = typeof found === 'object' && found !== null && 'degraded' in found ? found.degraded : undefined
    if (degraded) return { status: 'degraded', latency_ms: elapsed(), message: String(degraded) }
    return { status: 'ok', latency_ms: elapsed() }
  } catch (error) {
    return {
      status: 'failed',
      latency_ms: elapsed(),
      message: reasonOf(error),
    }
  }
}

/** A short reason. Connection errors name hosts and ports, which strangers need not know: only their code is shown. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'failed'
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined
  return code ?? (error.message.startsWith('no answer') ? error.message : 'failed')
}
