/** OWASP asks for at least m=19456, t=2, p=1; about 40 ms a hash on a small server. */
const OPTIONS = {
  algorithm: 'argon2id',
  memoryCost: 19_456,
  timeCost: 2,
} as const

/** Hashes and checks passwords, a few at a time: each takes 19 MB and a core, which is a lever for an attacker. */
export class Passwords {
  private running = 0
  private readonly waiting: (() => void)[] = []
  private readonly decoy: Promise<string>

  constructor(private readonly concurrency = 2) {
    this.decoy = Bun.password.hash('no one has this password', OPTIONS)
  }

  hash(password: string): Promise<string> {
    return this.gated(() => Bun.password.hash(password, OPTIONS))
  }

  /** Without a hash (no such account) it does the same work and says no, so that time does not tell the difference. */
  verify(password: string, hash: string | undefined): Promise<boolean> {
    return this.gated(
      async () => (await Bun.password.verify(password, hash ?? (await this.decoy))) && hash !== undefined,
    )
  }

  /** Whether a hash was made with weaker parameters than today's. */
  outdated(hash: string): boolean {
    return !hash.startsWith(`$argon2id$v=19$m=${OPTIONS.memoryCost},t=${OPTIONS.timeCost},`)
  }

  private async gated<T>(work: () => Promise<T>): Promise<T> {
    // A place is handed over, not given back, so that a newcomer cannot take it in between.
    if (this.running >= this.concurrency) await new Promise<void>((resolve) => this.waiting.push(resolve))
    else this.running++
    try {
      return await work()
    } finally {
      const next = this.waiting.shift()
      if (next) next()
      else this.running--
    }
  }
}
