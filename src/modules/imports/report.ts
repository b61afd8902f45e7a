import type { AppError } from '../../errors'
import type { Repair, Repairs } from './normal'

/** Why a conversation was left out. */
export type Skipped = 'exists' | 'empty' | 'unknown_format' | 'taken' | 'too_large' | 'invalid_json'

export interface Imported {
  id: string | null
  title: string | null
  messages: number
  repairs: Repairs
  skipped?: Skipped
}

/** Conversations that are listed one by one, and those beyond them that are listed because something is wrong with them. */
const MAX_LISTED = 1000
const MAX_WRONG = 1000

/** What an import did: numbers of everything, and a list that does not grow without end. */
export class Report {
  private readonly conversations: Imported[] = []
  private readonly reasons: Partial<Record<Skipped, number>> = {}
  private readonly repairs: Repairs = {}
  private total = 0
  private wrong = 0
  private messages = 0

  constructor(readonly dryRun: boolean) {}

  add(one: Imported): void {
    this.total++
    if (one.skipped) this.reasons[one.skipped] = (this.reasons[one.skipped] ?? 0) + 1
    else this.messages += one.messages
    for (const [repair, times] of Object.entries(one.repairs) as [Repair, number][]) {
      this.repairs[repair] = (this.repairs[repair] ?? 0) + times
    }
    const isWrong = one.skipped !== undefined && one.skipped !== 'exists'
    if (this.total <= MAX_LISTED || (isWrong && ++this.wrong <= MAX_WRONG)) this.conversations.push(one)
  }

  /** @param problem where the document breaks, if it does. */
  json(problem?: AppError) {
    const skipped = Object.values(this.reasons).reduce((sum, times) => sum + times, 0)
    return {
      imported: this.total - skipped,
      skipped,
      dry_run: this.dryRun,
      /** Of those imported. */
      messages: this.messages,
      skipped_because: this.reasons,
      repairs: this.repairs,
      broken: problem ? { after: this.total, message: problem.message } : null,
      conversations: this.conversations,
      omitted: this.total - this.conversations.length,
    }
  }
}
