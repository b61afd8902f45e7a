import { AppError } from '../../errors'
import type { Owner, Store } from '../../store/port'
import { fewAtOnce } from './few'
import { ACCEPTED } from './formats'
import { Report } from './report'
import { type Found, MAX_CONVERSATION, Source, type Upload } from './source'
import { Writer } from './writer'

export interface ImportsDeps {
  store: Pick<Store, 'archive'>
  now: () => Date
  /** Bytes of an upload. */
  maxBytes: number
  /** Conversations that are written at once. */
  atOnce: number
}

/** Conversations that a dry run remembers. */
const MAX_MET = 100_000

/** Conversations from elsewhere. */
export class Imports {
  constructor(private readonly deps: ImportsDeps) {}

  /**
   * One transaction for each conversation: what one has wrong does not cost the others, and where a document breaks what
   * came before is in. Importing again changes nothing. Ends with AbortError when the client leaves.
   */
  async import(owner: Owner, upload: Upload, { dryRun }: { dryRun: boolean }) {
    const source = new Source(upload, this.deps.maxBytes)
    const report = new Report(dryRun)
    const problem = await this.all(owner, source, report).catch((error: unknown) => {
      if (source.known && error instanceof AppError && error.code === 'BAD_REQUEST') return error
      throw source.known && error instanceof AppError && error.code === 'PAYLOAD_TOO_LARGE'
        ? cutOff(error, report)
        : error
    })
    if (source.known) return report.json(problem)
    throw source.problem ?? new AppError('VALIDATION_ERROR', `This is no format known here. Send ${ACCEPTED}`)
  }

  private async all(owner: Owner, source: Source, report: Report): Promise<undefined> {
    const met = new Set<string>()
    const writer = new Writer(this.deps, owner, report.dryRun)
    const limits = { most: this.deps.atOnce, maxSize: MAX_CONVERSATION, sizeOf: ({ size }: Found) => size }
    for await (const one of fewAtOnce(source.found(), (found) => writer.bring(found), limits)) {
      // A dry run leaves nothing behind that would tell of the first when the same one comes again.
      if (one.id !== null && met.has(one.id)) one.skipped ??= 'exists'
      else if (one.id !== null && report.dryRun && met.size < MAX_MET) met.add(one.id)
      report.add(one)
    }
  }
}

/** What came before such a failure is in. */
const cutOff = ({ code, message }: AppError, report: Report) => {
  const { imported, skipped } = report.json()
  return new AppError(code, message, { details: { imported, skipped } })
}
