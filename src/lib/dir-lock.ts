import { Database } from 'bun:sqlite'
import { chmodSync, existsSync, mkdirSync, realpathSync } from 'node:fs'
import { hostname } from 'node:os'
import { basename, dirname, join } from 'node:path'

/** The one right to use a directory. It ends with {@link DirLock.release} or with the process, whichever is first. */
export interface DirLock {
  /** Lets the next process in. Calling it again does nothing. */
  release(): void
}

/** Thrown when another opener holds the directory; `holder` is what it wrote about itself. */
export class DirInUseError extends Error {
  override readonly name = 'DirInUseError'
  readonly holder: Holder | undefined

  constructor(dir: string, holder: Holder | undefined, advice: string) {
    const who = holder
      ? `process ${holder.pid} on ${holder.host} (since ${holder.since})`
      : 'another process that has not said who it is'
    super(`${dir} is in use by ${who}. ${advice}`)
    this.holder = holder
  }
}

/** Who holds a directory, as written in the lock file. */
export interface Holder {
  pid: number
  host: string
  /** ISO 8601, the moment the lock was taken. */
  since: string
}

// A lock that is garbage collected is a lock that is lost, so every held one stays reachable from here.
const held = new Set<Database>()

/**
 * Locks `dir` by means of the file `<dir>.lock` beside it; makes the parent folder if it is missing, not `dir` itself.
 *
 * The file is a tiny SQLite database, because SQLite's write lock is the kernel's: it ends with the process that holds it,
 * however that died. So no lock is ever stale, nothing is guessed from ages or from pids that were given to someone else,
 * there is no take-over to race in, and containers that share a volume but cannot see each other's processes are kept
 * apart. The file stays when the lock is released (removing it would let two starters lock two different files), and this
 * process must not open it in any other way: closing any handle to it drops the lock.
 *
 * @param advice what the reader of the error should do; it ends the message.
 * @throws DirInUseError when any other opener, in this process or elsewhere, holds it.
 */
export function lockDir(dir: string, advice = 'Stop it, or use another directory.'): DirLock {
  mkdirSync(dirname(dir), { recursive: true, mode: 0o700 })
  // Two spellings of one directory must meet at one file.
  const path = existsSync(dir) ? realpathSync(dir) : join(realpathSync(dirname(dir)), basename(dir))
  const file = `${path}.lock`
  let db: Database | undefined
  try {
    db = new Database(file, { create: true })
    chmodSync(file, 0o600)
    take(db)
  } catch (error) {
    const refusal =
      db && isBusy(error)
        ? new DirInUseError(path, readHolder(db), advice)
        : new Error(`cannot lock ${path} by means of ${file}: ${error instanceof Error ? error.message : error}`)
    db?.close()
    throw refusal
  }
  return hold(db)
}

function hold(db: Database): DirLock {
  held.add(db)
  return {
    release() {
      if (held.delete(db)) db.close()
    },
  }
}

/** Writes down who we are, then takes the write lock for good by opening a transaction that never ends. */
function take(db: Database): void {
  beginNow(db)
  db.run('create table if not exists holder (pid integer, host text, since text)')
  db.run('delete from holder')
  db.run('insert into holder values (?, ?, ?)', [process.pid, hostname(), new Date().toISOString()])
  db.run('commit')
  // Between the two another starter may get in. Then this one fails here, and still only one is left holding.
  beginNow(db)
}

function beginNow(db: Database): void {
  db.run('pragma busy_timeout = 0')
  db.run('begin immediate')
  // From here on only readers of the holder's name can be in the way, for microseconds.
  db.run('pragma busy_timeout = 2000')
}

function readHolder(db: Database): Holder | undefined {
  try {
    db.run('pragma busy_timeout = 2000')
    return db.query<Holder, []>('select pid, host, since from holder').get() ?? undefined
  } catch {
    return undefined // the holder has locked but not written yet; its name is not worth an error
  }
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && 'code' in error && String(error.code).startsWith('SQLITE_BUSY')
}
