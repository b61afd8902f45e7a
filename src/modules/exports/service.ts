import { AppError } from '../../errors'
import { newId } from '../../lib/ids'
import { toSelection } from '../../lib/selection'
import type { Owner, Store } from '../../store/port'
import { FORMATS } from './formats'
import { type ExportRequest, type Progress, progressJson } from './model'
import { Source } from './source'

/** Milliseconds that the progress of an export is kept after its last step. */
const KEPT_MS = 600_000
/** Bytes that are gathered before they are sent. */
const PIECE = 65_536

export interface ExportsDeps {
  store: Pick<Store, 'bulk' | 'archive'>
  now: () => Date
  /** Faults in the middle of a file, when the status is out: they are logged. */
  onFault: (message: string, error: unknown) => void
}

interface Tracked extends Progress {
  owner: Owner
  /** When it moved last. */
  touched: number
}

export interface ExportFile {
  id: string
  name: string
  contentType: string
  /** Read one piece at a time; nothing is read ahead. */
  pieces: AsyncGenerator<Uint8Array>
}

/** Conversations to take away. */
export class Exports {
  private readonly tracked = new Map<string, Tracked>()

  constructor(private readonly deps: ExportsDeps) {}

  /** @throws AppError NOT_FOUND when one of the ids is not the owner's: a file must not lack what was asked for. */
  async begin(owner: Owner, request: ExportRequest): Promise<ExportFile> {
    const rows = await this.deps.store.bulk.select(owner, toSelection(request))
    const asked = new Set(request.ids?.map((id) => id.toLowerCase()))
    for (const { id } of rows) asked.delete(id)
    if (asked.size > 0 && !request.filter) {
      const details = { missing: [...asked] }
      throw new AppError('NOT_FOUND', 'Not all of these conversations are there', { details })
    }
    this.forget()
    const { format } = request
    const progress: Tracked = {
      id: newId(),
      format,
      state: 'running',
      done: 0,
      total: rows.length,
      bytes: 0,
      owner: { tenantId: owner.tenantId, userId: owner.userId },
      touched: this.deps.now().getTime(),
    }
    this.tracked.set(progress.id, progress)
    const { contentType, extension } = FORMATS[format]
    const day = this.deps.now().toISOString().slice(0, 10)
    const pieces = this.pieces(
      owner,
      rows.map(({ id }) => id),
      progress,
    )
    return { id: progress.id, name: `conversations-${day}.${extension}`, contentType, pieces }
  }

  /** How far it is. Only its owner is told. */
  progress({ tenantId, userId }: Owner, id: string) {
    this.forget()
    const found = this.tracked.get(id.toLowerCase())
    if (found?.owner.userId !== userId || found.owner.tenantId !== tenantId) {
      throw new AppError('NOT_FOUND', 'There is no such export, or it ended more than ten minutes ago')
    }
    return progressJson(found)
  }

  private forget(): void {
    const old = this.deps.now().getTime() - KEPT_MS
    for (const [id, { touched }] of this.tracked) if (touched < old) this.tracked.delete(id)
  }

  private async *pieces(owner: Owner, ids: string[], progress: Tracked): AsyncGenerator<Uint8Array> {
    try {
      let gathered = ''
      for await (const text of this.texts(owner, ids, progress)) {
        gathered += text
        if (gathered.length < PIECE) continue
        yield this.sent(gathered, progress)
        gathered = ''
      }
      if (gathered) yield this.sent(gathered, progress)
      progress.state = 'done'
    } catch (error) {
      progress.state = 'failed'
      this.deps.onFault('An export broke off', error)
      throw error
    } finally {
      if (progress.state === 'running') progress.state = 'cancelled'
    }
  }

  private sent(text: string, progress: Tracked): Uint8Array {
    const bytes = Buffer.from(text)
    progress.bytes += bytes.length
    progress.touched = this.deps.now().getTime()
    return bytes
  }

  private async *texts(owner: Owner, ids: string[], progress: Tracked): AsyncGenerator<string> {
    const { open, between, close, write } = FORMATS[progress.format]
    yield open
    let first = true
    for (const id of ids) {
      const source = await Source.open(this.deps.store.archive, owner, id)
      if (source) {
        if (!first) yield between
        yield* write(source)
        first = false
      }
      progress.done++
    }
    yield close
  }
}
