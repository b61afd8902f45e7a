import { nanosOf } from './money'

export type Env = Record<string, string | undefined>

const PYTHON_LEVELS: Record<string, string> = { warning: 'warn', critical: 'fatal' }

/** Reads one variable per call and collects what is wrong; an empty variable counts as absent, except for secrets. */
export function envReader(env: Env) {
  const problems: string[] = []
  const problem = (text: string) => void problems.push(text)
  const get = (name: string) => env[name]?.trim() || undefined

  function text(name: string): string | undefined
  function text(name: string, fallback: string): string
  function text(name: string, fallback?: string) {
    return get(name) ?? fallback
  }

  return {
    /** What is wrong so far, in words for the operator. */
    problems,
    problem,
    text,
    int(name: string, fallback: number, { min, max }: { min: number; max: number }): number {
      const value = get(name)
      if (value === undefined) return fallback
      const number = /^\d+$/.test(value) ? Number(value) : Number.NaN
      if (number >= min && number <= max) return number
      problem(`${name} must be a whole number from ${min} to ${max}, not "${value}"`)
      return fallback
    },
    bool(name: string, fallback: boolean): boolean {
      const value = get(name)?.toLowerCase()
      if (value === undefined) return fallback
      if (['true', '1', 'yes', 'on'].includes(value)) return true
      if (['false', '0', 'no', 'off'].includes(value)) return false
      problem(`${name} must be true or false, not "${value}"`)
      return fallback
    },
    /** Case does not matter, and Python's words for log levels are known. */
    oneOf<const T extends string, const F extends T | undefined>(
      name: string,
      choices: readonly T[],
      fallback: F,
    ): T | F {
      const value = get(name)
      if (value === undefined) return fallback
      const lower = value.toLowerCase()
      const plain = PYTHON_LEVELS[lower] ?? lower
      const choice = choices.find((c) => c.toLowerCase() === plain)
      if (choice) return choice
      problem(`${name} must be one of ${choices.join(', ')}, not "${value}"`)
      return fallback
    },
    url(name: string, protocols = ['http:', 'https:']): string | undefined {
      const value = get(name)
      if (value === undefined) return undefined
      const url = URL.canParse(value) ? new URL(value) : undefined
      if (url && protocols.includes(url.protocol)) return value.replace(/\/+$/, '')
      // The value itself is not repeated: these often carry a password.
      problem(`${name} must be a URL that starts with ${protocols.map((p) => `${p}//`).join(' or ')}`)
      return undefined
    },
    /** US dollars, as nano-dollars. */
    usd(name: string, fallback: bigint): bigint {
      const value = get(name)
      if (value === undefined) return fallback
      const nanos = nanosOf(value)
      if (nanos !== undefined) return nanos
      problem(`${name} must be an amount in US dollars such as 0.05, not "${value}"`)
      return fallback
    },
    list(name: string, fallback: string[]): string[] {
      const items = get(name)
        ?.split(',')
        .map((item) => item.trim())
        .filter(Boolean)
      return items?.length ? items : fallback
    },
    secret(name: string, min = 32): { value: string | undefined; given: boolean } {
      const value = env[name]?.trim()
      if (value === undefined) return { value: undefined, given: false }
      if (value.length < min) problem(`${name} must have at least ${min} characters (it has ${value.length})`)
      return { value, given: true }
    },
  }
}
