/** A ledger in memory that refuses what it is told to refuse, for looking at whoever keeps money back. */
import type { Extended, LedgerStore, NewReservation, Reserved, Settled, Settlement } from '../../src/store/port-money'

export class FakeBooks implements Pick<LedgerStore, 'open' | 'credit' | 'reserve' | 'extend' | 'settle' | 'void'> {
  reserved: NewReservation[] = []
  settled: Settlement[] = []
  voided: string[] = []
  extended: bigint[] = []
  /** What the next reservations are answered; the last one again and again. */
  answers: (Reserved | Error)[] = [{ outcome: 'reserved', limited: true }]
  extensions: (Extended | Error)[] = [{ outcome: 'extended' }]
  /** Settlements that cannot be written. */
  refuses: (settlement: Settlement) => boolean = () => false
  /** Resolves before a reservation is answered. */
  before: Promise<void> = Promise.resolve()

  async reserve(reservations: NewReservation[]): Promise<Reserved[]> {
    await this.before
    this.reserved.push(...reservations)
    return [answered(this.answers)]
  }

  async extend(_: string, by: bigint): Promise<Extended> {
    this.extended.push(by)
    return answered(this.extensions)
  }

  async settle(settlements: Settlement[]): Promise<Settled[]> {
    if (settlements.some(this.refuses)) throw new Error('The database will not have it')
    this.settled.push(...settlements)
    return settlements.map(({ amount }) => ({ outcome: 'settled', settled: amount, uncollected: 0n }))
  }

  async void(ids: string[]) {
    this.voided.push(...ids)
    return ids.map(() => ({ outcome: 'voided' as const }))
  }

  open = async (): Promise<never> => never()
  credit = async (): Promise<never> => never()
  draw = async (): Promise<never> => never()
  balance = async () => undefined
  accounts = async () => ({ items: [], total: 0 })
  entries = async () => ({ items: [], total: 0 })
  limit = async () => undefined
  note = async () => {}
  orphans = async () => []
  expire = async () => 0
}

function never(): never {
  throw new Error('Nobody opens accounts here')
}

function answered<T>(answers: (T | Error)[]): T {
  const answer = answers.length > 1 ? answers.shift() : answers[0]
  if (answer === undefined || answer instanceof Error) throw answer
  return answer
}
