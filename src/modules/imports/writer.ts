import type { ArchiveStore, Owner } from '../../store/port'
import { build, hasOwnIds, idOf } from './build'
import { type Mended, mend } from './mend'
import type { NormalConversation } from './normal'
import type { Imported } from './report'
import type { Found } from './source'

export interface WriterDeps {
  store: { archive: Pick<ArchiveStore, 'holder' | 'write'> }
  now: () => Date
}

/** Brings conversations into the store, one or several at once. */
export class Writer {
  /** What those that could be the same as another wait for. */
  private readonly lines = new Map<string, Promise<unknown>>()

  constructor(
    private readonly deps: WriterDeps,
    private readonly owner: Owner,
    private readonly dryRun: boolean,
  ) {}

  async bring({ read, problem }: Found): Promise<Imported> {
    if (!read) return { id: null, title: null, messages: 0, repairs: {}, skipped: problem ?? 'unknown_format' }
    const given = read()
    const mended = mend(given, this.deps.now())
    const { title, messages, repairs } = mended
    const facts = { title, messages: messages.length, repairs }
    if (messages.length === 0 && !given.own) return { id: null, ...facts, skipped: 'empty' }
    const derived = idOf(this.owner.userId, given)
    // Files of ours name ids of their own, that two of them may share.
    const { id, outcome } = await this.inLine(given.own ? 'own' : derived, () => this.place(given, mended, derived))
    return { id, ...facts, ...(outcome === 'written' ? {} : { skipped: outcome }) }
  }

  /** After those before it with the same name. */
  private async inLine<T>(name: string, work: () => Promise<T>): Promise<T> {
    const before = this.lines.get(name)
    const mine = before ? before.then(work, work) : work()
    this.lines.set(name, mine)
    try {
      return await mine
    } finally {
      if (this.lines.get(name) === mine) this.lines.delete(name)
    }
  }

  /** Under the ids it came with, if it is ours and they are free, or under those that follow from them. */
  private async place(given: NormalConversation, mended: Mended, derived: string) {
    const holder = await this.deps.store.archive.holder(this.owner, derived)
    if (holder === 'owner') return { id: derived, outcome: 'exists' as const }
    if (hasOwnIds(given, mended)) {
      const id = String(given.sourceId).toLowerCase()
      const outcome = await this.tryOwn(given, mended, id)
      if (outcome !== 'taken') return { id, outcome }
    }
    if (holder === 'other') return { id: derived, outcome: 'taken' as const }
    return { id: derived, outcome: await this.write(given, mended, { id: derived, keep: false }) }
  }

  private async tryOwn(given: NormalConversation, mended: Mended, id: string) {
    const holder = await this.deps.store.archive.holder(this.owner, id)
    if (holder !== 'nobody') return holder === 'owner' ? 'exists' : 'taken'
    return this.write(given, mended, { id, keep: true })
  }

  private async write(given: NormalConversation, mended: Mended, as: { id: string; keep: boolean }) {
    return this.dryRun ? 'written' : this.deps.store.archive.write(this.owner, build(given, mended, as))
  }
}
