import { AppError } from '../../errors'
import type { Owner, Store } from '../../store/port'
import { build, hasOwnIds, idOf } from './build'
import { ACCEPTED, recognise } from './formats'
import { type Mended, mend } from './mend'
import type { NormalConversation, Repairs } from './normal'

/** Why a conversation was left out. */
type Skipped = 'exists' | 'empty' | 'unknown_format' | 'taken'

export interface Imported {
  id: string | null
  title: string | null
  messages: number
  repairs: Repairs
  skipped?: Skipped
}

/** Conversations from elsewhere. */
export class Imports {
  constructor(
    private readonly store: Pick<Store, 'archive'>,
    private readonly now: () => Date,
  ) {}

  /** One transaction for each conversation: what one has wrong does not cost the others. Importing again changes nothing. */
  async import(owner: Owner, body: unknown, { dryRun }: { dryRun: boolean }) {
    const readers = recognise(body)
    if (!readers) throw new AppError('VALIDATION_ERROR', `This is no format known here. Send ${ACCEPTED}`)
    const conversations: Imported[] = []
    const met = new Set<string>()
    for (const read of readers) {
      const one = await this.one(owner, read(), dryRun)
      // A dry run leaves nothing behind that would tell of the first when the same one comes again.
      if (one.id !== null && met.has(one.id)) one.skipped ??= 'exists'
      else if (one.id !== null) met.add(one.id)
      conversations.push(one)
    }
    const skipped = conversations.filter((one) => one.skipped).length
    return { imported: conversations.length - skipped, skipped, dry_run: dryRun, conversations }
  }

  private async one(owner: Owner, given: NormalConversation | undefined, dryRun: boolean): Promise<Imported> {
    if (!given) return { id: null, title: null, messages: 0, repairs: {}, skipped: 'unknown_format' }
    const mended = mend(given, this.now())
    const { title, messages, repairs } = mended
    const facts = { title, messages: messages.length, repairs }
    if (messages.length === 0 && !given.own) return { id: null, ...facts, skipped: 'empty' }
    const { id, outcome } = await this.place(owner, given, mended, dryRun)
    return { id, ...facts, ...(outcome === 'written' ? {} : { skipped: outcome }) }
  }

  /** Under the ids it came with, if it is ours and they are free, or under those that follow from them. */
  private async place(owner: Owner, given: NormalConversation, mended: Mended, dryRun: boolean) {
    const derived = idOf(owner.userId, given)
    if ((await this.store.archive.holder(owner, derived)) === 'owner')
      return { id: derived, outcome: 'exists' as const }
    if (hasOwnIds(given, mended)) {
      const id = String(given.sourceId).toLowerCase()
      const outcome = await this.write(owner, given, mended, { id, keep: true, dryRun })
      if (outcome !== 'taken') return { id, outcome }
    }
    return { id: derived, outcome: await this.write(owner, given, mended, { id: derived, keep: false, dryRun }) }
  }

  private async write(
    owner: Owner,
    given: NormalConversation,
    mended: Mended,
    { id, keep, dryRun }: { id: string; keep: boolean; dryRun: boolean },
  ): Promise<'written' | 'exists' | 'taken'> {
    const { archive } = this.store
    const holder = await archive.holder(owner, id)
    if (holder !== 'nobody') return holder === 'owner' ? 'exists' : 'taken'
    return dryRun ? 'written' : archive.write(owner, build(given, mended, { id, keep }))
  }
}
