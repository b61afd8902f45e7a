import { closeSync, existsSync, fsyncSync, openSync } from 'node:fs'
import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { PGlite, type PGliteOptions } from '@electric-sql/pglite'
import { pg_trgm } from '@electric-sql/pglite/contrib/pg_trgm'
import { unaccent } from '@electric-sql/pglite/contrib/unaccent'

/** What the opener asks of this worker. `bytes` are wire protocol messages of one session, complete rounds only. */
export type ToWorker =
  | { kind: 'open'; dataDir: string | undefined; fsync: boolean }
  | { kind: 'bytes'; session: number; bytes: Uint8Array }
  | { kind: 'end'; session: number }
  | { kind: 'close' }

/** What it answers. After `failed` the engine is unusable, and the opener ends the worker. */
export type FromWorker =
  | { kind: 'ready' }
  | { kind: 'bytes'; session: number; bytes: Uint8Array }
  | { kind: 'closed' }
  | { kind: 'failed'; message: string }

declare const self: Worker

const TEMPLATE = new URL('pglite-template.tgz', import.meta.url)
const REPLY_CHUNK = 64 * 1024
const TICK_MS = 60_000
const VACUUM_EVERY_TICKS = 60
const WAL_LIMIT = 64 * 1024 * 1024

const say = (message: FromWorker): void => self.postMessage(message)
let closing = false

/** The last words of the engine: they name the cause when it cannot start or has to stop. */
const lastWords: string[] = []

function fail(error: unknown): void {
  if (closing) return
  // Not everything thrown by compiled code is an Error.
  const { message = String(error) } = error as { message?: string }
  say({ kind: 'failed', message: [message, ...lastWords].join('; ') })
}

let db: PGlite
let current: number | undefined
let requests = 0

// One message after another, and the upkeep in the same line: the engine has one connection and keeps one state.
let line: Promise<void> = Promise.resolve()
function inTurn(work: () => Promise<void>): void {
  line = line.then(work).catch(fail)
}

self.onmessage = ({ data }: MessageEvent<ToWorker>) => inTurn(() => handle(data))

async function handle(message: ToWorker): Promise<void> {
  switch (message.kind) {
    case 'open':
      db = await openEngine(message.dataDir, message.fsync)
      // What upkeep cannot do now (a full disk, say) it tries again; a dead engine shows at the next request.
      setInterval(() => inTurn(() => upkeep().catch(() => {})), TICK_MS)
      return say({ kind: 'ready' })
    case 'bytes':
      if (closing) return
      if (current !== message.session) await endSession()
      current = message.session
      requests += 1
      return exchange(message.bytes, (bytes) =>
        self.postMessage({ kind: 'bytes', session: message.session, bytes } satisfies FromWorker, [bytes.buffer]),
      )
    case 'end':
      if (message.session === current && !closing) await endSession()
      return
    case 'close':
      closing = true
      // Also when it fails: the log is complete, and the next start replays it.
      await db.close().finally(() => say({ kind: 'closed' }))
      return
  }
}

/** Runs one round of messages and passes the reply on in pieces. */
async function exchange(request: Uint8Array, reply: (bytes: Uint8Array<ArrayBuffer>) => void): Promise<void> {
  let parts: Uint8Array[] = []
  let size = 0
  let tail: Uint8Array = new Uint8Array()
  const flush = () => {
    if (size > 0) reply(new Uint8Array(Bun.concatArrayBuffers(parts)))
    parts = []
    size = 0
  }
  await db.execProtocolRawStream(request, {
    onRawData(bytes) {
      const part = bytes.slice() // `bytes` is a window on memory the engine writes to again
      tail = part.subarray(-6)
      parts.push(part)
      size += part.byteLength
      if (size >= REPLY_CHUNK) flush()
    },
  })
  flush()
  // PGlite swallows what it cannot explain (a stack overflow, an abort) and then answers nothing, for ever.
  if (endsRound(request) && !isReadyForQuery(tail)) throw new Error('the engine stopped in the middle of a statement')
}

/** True for a simple query and for anything that ends with Sync: the reply to those ends with ReadyForQuery. */
const endsRound = (request: Uint8Array): boolean =>
  request[0] === 0x51 || (request.at(-5) === 0x53 && request.at(-1) === 4)

const isReadyForQuery = (tail: Uint8Array): boolean => tail.length === 6 && tail[0] === 0x5a && tail[4] === 5

/** Puts the engine's one session back as it was at the start: pools reconnect after an error and expect a clean one. */
async function endSession(): Promise<void> {
  if (current === undefined) return
  current = undefined
  await exchange(simpleQuery('rollback'), () => {})
  await exchange(simpleQuery('discard all'), () => {})
}

function simpleQuery(sql: string): Uint8Array {
  const message = Buffer.alloc(sql.length + 6)
  message.write('Q')
  message.writeInt32BE(sql.length + 5, 1)
  message.write(sql, 5)
  return message
}

let ticks = 0
let unvacuumed = false

/** What Postgres leaves to background processes, which this engine does not have. */
async function upkeep(): Promise<void> {
  if (closing || db.isInTransaction()) return
  const quiet = requests === 0
  requests = 0
  unvacuumed ||= !quiet
  ticks += 1
  // Without checkpoints the log grows for ever, and the next start after a crash has to replay all of it.
  const { rows } = await db.query<{ due: boolean }>(
    'select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), redo_lsn) > $1 as due from pg_control_checkpoint()',
    [WAL_LIMIT],
  )
  if (rows[0]?.due) await db.exec('checkpoint')
  if (!quiet || !unvacuumed || ticks < VACUUM_EVERY_TICKS) return
  await db.exec('vacuum (analyze)')
  ticks = 0
  unvacuumed = false
}

async function openEngine(dataDir: string | undefined, fsync: boolean): Promise<PGlite> {
  const options: PGliteOptions = {
    relaxedDurability: false,
    extensions: { pg_trgm, unaccent, host: { name: 'host', setup: hostSetup } },
    startParams: startParams(fsync),
    onStderr(text) {
      if (/FATAL|PANIC|DETAIL|HINT|Aborted/.test(text)) lastWords.push(text)
      return false
    },
  }
  if (dataDir === undefined) return PGlite.create({ ...options, loadDataDir: Bun.file(TEMPLATE) })
  if (!existsSync(join(dataDir, 'PG_VERSION'))) await createCluster(dataDir)
  return PGlite.create(dataDir, options)
}

function startParams(fsync: boolean): string[] {
  const settings = {
    fsync: fsync ? 'on' : 'off',
    wal_sync_method: 'fsync', // the default, fdatasync, does nothing in PGlite
    // The operating system caches the files as well. The default, 128 MB, is taken whole at the start.
    shared_buffers: '16MB',
    // Statements hold what people wrote: they stay out of the log.
    log_min_messages: 'fatal',
    log_min_error_statement: 'panic',
  }
  const unsynced = '-F' // PGlite's own choice
  return [
    ...PGlite.defaultStartParams.filter((param) => param !== unsynced),
    ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ]
}

/** The parts of the engine's runtime that PGlite leaves out. */
interface Runtime {
  preRun?: ((runtime: Mounted) => void)[]
  onAbort?: (what: unknown) => void
  onExit?: (code: number) => void
}
interface Mounted {
  FS: { filesystems: { NODEFS: NodeFs } }
}
interface NodeFs {
  stream_ops: { fsync?: (stream: { nfd: number }) => number }
  tryFSOperation(operation: () => void): void
}

async function hostSetup(_db: unknown, runtime: Runtime): Promise<{ emscriptenOpts: Runtime }> {
  const passFsyncOn = ({ FS: { filesystems } }: Mounted): void => {
    // Its file system answers fsync without doing it: a power cut could then corrupt the database.
    filesystems.NODEFS.stream_ops.fsync = ({ nfd }) => {
      filesystems.NODEFS.tryFSOperation(() => fsyncSync(nfd))
      return 0
    }
  }
  return {
    emscriptenOpts: {
      ...runtime,
      preRun: [...(runtime.preRun ?? []), passFsyncOn],
      // Said at once: after an abort PGlite may never give the thread back.
      onAbort: (what) => fail(what || 'the engine aborted'),
      onExit: (code) => fail(`the engine exited with code ${code}`),
    },
  }
}

/** Unpacks the template beside `dataDir` and moves it into place when it is complete, so that a kill leaves no half. */
async function createCluster(dataDir: string): Promise<void> {
  if (existsSync(dataDir) && (await readdir(dataDir)).length > 0) {
    throw new Error(`${dataDir} is not empty and holds no database; name another directory`)
  }
  const staging = `${dataDir}.new`
  await rm(staging, { recursive: true, force: true })
  await mkdir(staging, { mode: 0o700 })
  await new Bun.Archive(await Bun.file(TEMPLATE).bytes()).extract(staging)
  const entries = await readdir(staging, { recursive: true, withFileTypes: true })
  for (const entry of entries) flushToDisk(join(entry.parentPath, entry.name))
  flushToDisk(staging)
  await rename(staging, dataDir)
  flushToDisk(dirname(dataDir))
}

function flushToDisk(path: string): void {
  const file = openSync(path, 'r')
  fsyncSync(file)
  closeSync(file)
}
