/** One line per check, and the count at the end. */
import assert from 'node:assert/strict'

const CHECK_LIMIT_MS = 20_000
const LATEST_CLOSE_MS = 2_000

let passed = 0
let failed = 0
let halted = false

export function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

/** From now on nothing counts: checks fail only because their servers are being stopped. */
export function halt(): void {
  halted = true
}

export function report(name: string, problem?: string): void {
  if (halted) return
  if (problem === undefined) {
    passed += 1
    say(`ok   ${name}`)
    return
  }
  failed += 1
  say(`FAIL ${name}\n     ${problem.trim().slice(0, 1_500).replaceAll('\n', '\n     ')}`)
}

async function check(name: string, body: () => Promise<void>): Promise<void> {
  if (halted) return
  let timer: Timer | undefined
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no end after ${CHECK_LIMIT_MS / 1000} s`)), CHECK_LIMIT_MS)
  })
  try {
    await Promise.race([body(), limit])
    report(name)
  } catch (error) {
    report(name, error instanceof Error ? `${error.name}: ${error.message}` : String(error))
  } finally {
    clearTimeout(timer)
  }
}

/** Checks of one SDK; `ours` is for what LiteLLM by itself does not promise. */
export function checksFor(sdk: string, proxyOnly: boolean) {
  return {
    check: (name: string, body: () => Promise<void>) => check(`${sdk}: ${name}`, body),
    ours: async (name: string, body: () => Promise<void>) => {
      if (proxyOnly) say(`--   ${sdk}: ${name} (left out: LiteLLM does not promise it)`)
      else await check(`${sdk}: ${name}`, body)
    },
  }
}

/** Prints the closing line; true when everything passes. */
export function closing(): boolean {
  say(`${passed} passed, ${failed} failed`)
  return failed === 0 && passed > 0
}

/** The error that the promise rejects with; fails when it resolves. */
export async function rejection(promise: PromiseLike<unknown>): Promise<unknown> {
  try {
    await promise
  } catch (error) {
    return error
  }
  throw new assert.AssertionError({ message: 'resolves, but should reject' })
}

/** Waits for a count to grow past `before`, as a client's leaving takes a moment to reach the provider. */
export async function grows(what: string, count: () => number, before: number): Promise<void> {
  const deadline = Date.now() + LATEST_CLOSE_MS
  while (Date.now() < deadline) {
    if (count() > before) return
    await Bun.sleep(20)
  }
  throw new assert.AssertionError({
    message: `${what} does not grow within ${LATEST_CLOSE_MS} ms`,
  })
}
