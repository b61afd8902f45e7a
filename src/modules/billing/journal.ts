import { appendFile, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Settlement } from '../../store/port-money'

const PREFIX = 'settlements-'

/**
 * Settlements that could not be written to the database yet, on disk, so that they outlive this process. A file for each
 * process, a line for each settlement. Settling twice changes nothing, so a line that was done already does no harm.
 */
export class Journal {
  private readonly file: string
  private writing: Promise<unknown> = Promise.resolve()

  constructor(
    private readonly dir: string,
    instanceId: string,
  ) {
    this.file = join(dir, `${PREFIX}${instanceId}.jsonl`)
  }

  /** What processes before this one left behind. Half a line, of one that died in the middle of it, is dropped. */
  async open(): Promise<Settlement[]> {
    const names = await readdir(this.dir).catch(() => [])
    const left: Settlement[] = []
    for (const name of names.filter((name) => name.startsWith(PREFIX)).sort()) {
      // It may be a living process's: whatever that writes from now on goes into a new file, and it keeps its own list.
      const mine = `${this.file}.${left.length}`
      const taken = await rename(join(this.dir, name), mine).then(
        () => true,
        () => false,
      )
      if (!taken) continue
      const read = readLines(await readFile(mine, 'utf8'))
      await this.add(read)
      await rm(mine, { force: true })
      left.push(...read)
    }
    return left
  }

  /** Resolves when it is in the file. */
  add(settlements: Settlement[]): Promise<void> {
    if (settlements.length === 0) return Promise.resolve()
    const lines = settlements.map((settlement) => `${JSON.stringify(settlement, written)}\n`).join('')
    return this.next(async () => {
      await mkdir(this.dir, { recursive: true, mode: 0o700 })
      await appendFile(this.file, lines, { mode: 0o600, flush: true })
    })
  }

  /** All of them are in the database. */
  clear(): Promise<void> {
    return this.next(() => rm(this.file, { force: true }))
  }

  private next(work: () => Promise<void>): Promise<void> {
    const done = this.writing.then(work)
    this.writing = done.catch(() => {})
    return done
  }
}

function readLines(text: string): Settlement[] {
  return text.split('\n').flatMap((line) => {
    try {
      return line ? [JSON.parse(line, read) as Settlement] : []
    } catch {
      return []
    }
  })
}

/** JSON has no word for amounts and times. */
function written(this: Record<string, unknown>, key: string, value: unknown): unknown {
  const given = this[key]
  if (typeof given === 'bigint') return { $nanos: String(given) }
  return given instanceof Date ? { $time: given.toISOString() } : value
}

function read(_: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  const { $nanos, $time } = value as { $nanos?: unknown; $time?: unknown }
  if (typeof $nanos === 'string' && /^-?\d{1,19}$/.test($nanos)) return BigInt($nanos)
  return typeof $time === 'string' ? new Date($time) : value
}
