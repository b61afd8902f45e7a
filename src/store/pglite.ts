import { resolve } from 'node:path'
import { Duplex } from 'node:stream'
import { Pool } from 'pg'
import { lockDir } from '../lib/dir-lock'
import type { FromWorker, ToWorker } from './pglite-worker'

export interface PgliteOptions {
  /** The database directory itself, made when missing. Without it the database lives in memory: for tests. */
  dataDir?: string | undefined
  /**
   * Waits for the disk at every commit, so that what was acknowledged also survives a power cut. Without it, it survives
   * only the death of the process, and a power cut may corrupt the database.
   */
  fsync?: boolean
  /** Called when the engine dies. The pool does not come back: every query fails until the process is started again. */
  onError?: (error: Error) => void
}

const ADVICE =
  'Two processes on one database directory would destroy it: stop that process, or give this one a database of its own' +
  ' by setting DATABASE_URL or another DATA_DIR.'

/**
 * Opens the embedded Postgres: PGlite in a worker, behind an ordinary pool of node-postgres.
 *
 * The pool has one connection, because the engine has one. So a query sent to the pool while the caller holds a client
 * (inside a transaction, say) waits for that client; it gives up after half a minute.
 *
 * @throws DirInUseError when another process has the directory open.
 */
export async function openPglite({ dataDir, fsync = true, onError }: PgliteOptions = {}): Promise<{
  pool: Pool
  close: () => Promise<void>
}> {
  const dir = dataDir === undefined ? undefined : resolve(dataDir)
  const lock = dir === undefined ? undefined : lockDir(dir, ADVICE)
  const engine = new Engine()
  try {
    await engine.open(dir, fsync)
  } catch (error) {
    await engine.stop()
    lock?.release()
    throw error
  }
  const pool = new Pool({
    stream: () => new EngineSocket(engine),
    max: 1,
    idleTimeoutMillis: 0,
    connectionTimeoutMillis: 30_000,
    // All given, so that PG* variables meant for another server have no say.
    host: 'pglite',
    port: 5432,
    user: 'postgres',
    database: 'postgres',
    password: '',
    ssl: false,
    keepAlive: false,
  })
  engine.onFailure = onError
  // A client whose connection breaks says so beside rejecting its queries; unheard, that would end the process.
  pool.on('connect', (client) => client.on('error', () => {}))
  pool.on('error', () => {})
  let closed: Promise<void> | undefined
  const close = async (): Promise<void> => {
    try {
      await pool.end()
      await engine.close()
    } finally {
      lock?.release() // last: nobody may come in while the worker can still write
    }
  }
  return {
    pool,
    close: () => {
      closed ??= close()
      return closed
    },
  }
}

/** The worker and what is known about it. */
class Engine {
  private readonly worker = new Worker(new URL('pglite-worker.ts', import.meta.url))
  private readonly sockets = new Map<number, EngineSocket>()
  private readonly ready = Promise.withResolvers<void>()
  private readonly closed = Promise.withResolvers<void>()
  private readonly ended = Promise.withResolvers<void>()
  private sessions = 0
  private started = false
  private stopped = false
  failure: Error | undefined
  onFailure: ((error: Error) => void) | undefined

  constructor() {
    this.worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.hear(data)
    this.worker.onerror = (event) => this.fail(event.message)
    this.worker.addEventListener('close', () => {
      this.fail('its worker ended')
      this.ended.resolve()
    })
  }

  async open(dataDir: string | undefined, fsync: boolean): Promise<void> {
    this.say({ kind: 'open', dataDir, fsync })
    await this.ready.promise
  }

  /** Closes the database, which writes a checkpoint, and ends the worker. */
  async close(): Promise<void> {
    if (!this.failure) this.say({ kind: 'close' })
    await this.closed.promise
    await this.stop()
  }

  /** Ends the worker, whatever it is doing. */
  async stop(): Promise<void> {
    this.stopped = true
    this.worker.terminate()
    await this.ended.promise
  }

  attach(socket: EngineSocket): number {
    const session = ++this.sessions
    this.sockets.set(session, socket)
    return session
  }

  send(session: number, bytes: Uint8Array<ArrayBuffer>): void {
    this.worker.postMessage({ kind: 'bytes', session, bytes } satisfies ToWorker, [bytes.buffer])
  }

  detach(session: number): void {
    if (this.sockets.delete(session) && !this.failure) this.say({ kind: 'end', session })
  }

  private say(message: ToWorker): void {
    this.worker.postMessage(message)
  }

  private hear(message: FromWorker): void {
    switch (message.kind) {
      case 'ready':
        this.started = true
        this.ready.resolve()
        break
      case 'bytes':
        this.sockets.get(message.session)?.push(Buffer.from(message.bytes.buffer))
        break
      case 'closed':
        this.closed.resolve()
        break
      case 'failed':
        this.fail(message.message)
    }
  }

  private fail(reason: string): void {
    if (this.failure || this.stopped) return
    this.failure = new Error(`the embedded database ${this.started ? 'has stopped' : 'cannot start'}: ${reason}`)
    this.worker.terminate()
    this.ready.promise.catch(() => {}) // nobody waits for it any more, unless it was still opening
    this.ready.reject(this.failure)
    this.closed.resolve()
    for (const socket of this.sockets.values()) socket.destroy(this.failure)
    this.onFailure?.(this.failure)
  }
}

/** One session, in the shape of the socket node-postgres expects. */
class EngineSocket extends Duplex {
  private pending: Buffer[] = []
  private session = 0

  constructor(private readonly engine: Engine) {
    super()
  }

  connect(): this {
    queueMicrotask(() => {
      if (this.engine.failure) return this.destroy(this.engine.failure)
      this.session = this.engine.attach(this)
      this.emit('connect')
    })
    return this
  }

  // A query is five writes (parse, bind, describe, execute, sync); the worker gets them as one message.
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    const terminate = chunk.length === 5 && chunk[0] === 0x58 // ends the session, but would end the engine
    if (!terminate && this.pending.push(chunk) === 1) queueMicrotask(() => this.flush())
    done()
  }

  override _read(): void {
    // The worker pushes; there is nothing to ask for.
  }

  override _final(done: () => void): void {
    this.flush()
    this.engine.detach(this.session)
    this.push(null)
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.pending = []
    this.engine.detach(this.session)
    done(error)
  }

  private flush(): void {
    if (this.pending.length === 0) return
    const bytes = new Uint8Array(Bun.concatArrayBuffers(this.pending))
    this.pending = []
    this.engine.send(this.session, bytes)
  }

  // What a network socket has and node-postgres calls.
  setNoDelay(): this {
    return this
  }
  setKeepAlive(): this {
    return this
  }
  ref(): this {
    return this
  }
  unref(): this {
    return this
  }
}
