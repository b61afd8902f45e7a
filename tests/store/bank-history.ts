import { AppError } from '../../src/errors'
import { newId } from '../../src/lib/ids'
import { QuotaLedger } from '../../src/store/ledger-quotas'
import type { Credit, LedgerStore, NewReservation, Reserved, Settled } from '../../src/store/port-money'
import { AT, after, type Given } from './contract/given'
import { newCredit, newReservation } from './contract/ledger-given'
import { newBeginning, newEvent, newUsage } from './contract/money-given'

/** A whole number from 0 on and below `n`. */
export type Choice = (n: number) => number

/** Mulberry32: small, and the same numbers for the same seed everywhere. */
export function randomFrom(seed: number): Choice {
  let state = seed >>> 0
  return (n) => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) % n
  }
}

export interface Accounts {
  users: string[]
  keys: string[]
  companies: string[]
  /** Have enough for being busy, until that runs out, too. */
  rich: string[]
}

/** Whether the connection was lost. What the database says of its own accord, a deadlock or a broken rule, is a fault. */
function isLost(error: unknown): boolean {
  let cause = error
  while (cause instanceof Error && cause.cause) cause = cause.cause
  if (cause instanceof AppError || !(cause instanceof Error)) return false
  return !('severity' in cause) || ('code' in cause && cause.code === '57P01')
}

/** Each on its own where it may be drawn from a quota; other clients hear of it when its answer has ended, thus after it is written. */
async function reserveBy(ledger: LedgerStore, wanted: NewReservation[]): Promise<Reserved[]> {
  if (!(ledger instanceof QuotaLedger)) return ledger.reserve(wanted)
  const answers = await Promise.all(wanted.map((one) => ledger.reserve([one])))
  await ledger.confirmed(wanted)
  return answers.flat()
}

type Op = keyof History['operationsOf']
const OFTEN: Op[] = [
  'reserve',
  'reserve',
  'reserve',
  'settle',
  'settle',
  'settle',
  'void',
  'extend',
  'credit',
  'again',
  'sweep',
]
const ATTEMPTS = 200
const DAY = 86_400_000

/** Clocks differ, and jump: yesterday, today or tomorrow. */
const sometime = (choice: Choice) => after((choice(3) - 1) * DAY + choice(DAY))

/** What clients do, and what they were told. What they were told must be in the books. */
export class History {
  readonly faults: string[] = []
  operations = 0
  repeated = 0
  private readonly accounts: Accounts
  private readonly ledgers: LedgerStore[]
  /** Told to be reserved, and not known to be resolved. */
  private readonly open: NewReservation[] = []
  private readonly done: NewReservation[] = []
  private readonly credits: Credit[] = []
  private readonly told = new Map<string, string>()
  private readonly asked = new Map<string, bigint[]>()

  constructor({ ledgers, accounts }: { ledgers: LedgerStore[]; accounts: Accounts }) {
    this.ledgers = ledgers
    this.accounts = accounts
  }

  async act(choice: Choice): Promise<void> {
    const op = OFTEN[choice(OFTEN.length)] ?? 'reserve'
    const ledger = this.ledgers[choice(this.ledgers.length)] as LedgerStore
    await this.operationsOf[op](ledger, choice)
    this.operations++
  }

  readonly operationsOf = {
    reserve: async (ledger: LedgerStore, choice: Choice) => {
      const busy = ledger instanceof QuotaLedger ? this.busyCaller(choice) : {}
      const wanted = Array.from({ length: 1 + choice(5) }, () => ({ ...this.newReservation(choice), ...busy }))
      const { answer, attempts } = await this.sure(() => reserveBy(ledger, wanted))
      answer.forEach(({ outcome }, i) => {
        const reservation = wanted[i] as NewReservation
        if (outcome === 'reserved') this.open.push(reservation)
        // Kept by a call whose answer was lost, a sweeper may have been there before the next one.
        else if (outcome !== 'insufficient' && (outcome !== 'taken' || attempts === 1))
          this.faults.push(`a new one is ${outcome}`)
      })
    },
    settle: async (ledger: LedgerStore, choice: Choice) => {
      const taken = this.take(choice)
      await this.settle(
        ledger,
        taken,
        taken.map(({ amount }) => (amount * BigInt(choice(160))) / 100n),
      )
    },
    void: async (ledger: LedgerStore, choice: Choice) => {
      const taken = this.take(choice)
      const { answer } = await this.sure(() =>
        ledger.void(
          taken.map(({ id }) => id),
          AT,
        ),
      )
      answer.forEach((voided, i) => {
        const { id } = taken[i] as NewReservation
        this.hear(id, voided.outcome === 'closed' ? this.closed(voided) : voided.outcome)
      })
    },
    extend: async (ledger: LedgerStore, choice: Choice) => {
      const one = this.open[choice(Math.max(1, this.open.length))]
      if (one) await this.sure(() => ledger.extend(one.id, BigInt(1 + choice(100))))
    },
    credit: async (ledger: LedgerStore, choice: Choice) => {
      const all = Object.values(this.accounts).flat()
      const kind = (['topup', 'grant', 'refund', 'adjustment'] as const)[choice(4)] ?? 'topup'
      const amount = BigInt(kind === 'adjustment' ? choice(400) - 300 || 1 : 1 + choice(300))
      const credit = newCredit(all[choice(all.length)] ?? '', amount, { kind })
      const { answer } = await this.sure(() => ledger.credit(credit), 'INSUFFICIENT_BALANCE')
      if (answer) this.credits.push(credit)
    },
    /** What was done is asked for once more, as it was or otherwise. */
    again: async (ledger: LedgerStore, choice: Choice) => {
      const credit = this.credits[choice(Math.max(1, this.credits.length))]
      if (credit) await this.sure(() => ledger.credit({ ...credit, id: newId() }))
      if (credit) {
        const { answer } = await this.sure(
          () => ledger.credit({ ...credit, amount: credit.amount + 1n || 1n }),
          'CONFLICT',
        )
        if (answer) this.faults.push('one key made two credits')
      }
      const one = this.done[choice(Math.max(1, this.done.length))]
      if (one) await this.settle(ledger, [one], [BigInt(choice(500))])
    },
    sweep: async (ledger: LedgerStore, choice: Choice) => {
      await this.sure(() => ledger.expire(after(choice(10_000)), 1 + choice(5)))
    },
  }

  /** Ends what is open, and compares what clients were told with what is written. */
  async close(sql: Given['sql']): Promise<string[]> {
    const [ledger] = this.ledgers as [LedgerStore]
    while ((await this.sure(() => ledger.expire(after(1_000_000), 1000))).answer) {}
    const open = await sql(
      `select 1 from reservations where state = 'open' union all select 1 from accounts where reserved_nanos <> 0`,
    )
    const untold = await sql<{ id: string; state: string }>(`
      select r.id, r.state from reservations r left join usage_records u on u.id = r.id
      left join outbox o on o.type = 'message.completed' and o.data->>'reservation_id' = r.id::text
      where r.usage is not null
        and ((r.state in ('settled', 'expired')) <> (u.id is not null) or (r.state = 'settled') <> (o.id is not null))`)
    const rows = await sql<{ id: string; state: string; settled_nanos: string; uncollected_nanos: string }>(
      'select * from reservations',
    )
    const written = new Map(rows.map((row) => [row.id, row]))
    const credited = await sql<{ key: string }>(
      `select concat_ws(' ', idempotency_key, account_id, kind, amount_nanos) as key from ledger_entries
       where idempotency_key is not null`,
    )
    const inBooks = new Set(credited.map(({ key }) => key))
    const keyOf = (c: Credit) => `${c.idempotencyKey} ${c.accountId} ${c.kind} ${c.amount}`
    return [
      ...this.faults,
      ...open.map(() => 'something is still reserved'),
      ...untold.map(
        ({ id, state }) => `reservation ${id} is ${state}, and its record or its event is not there or too many`,
      ),
      ...[...this.open, ...this.done].filter(({ id }) => !written.has(id)).map(({ id }) => `reservation ${id} is lost`),
      ...[...this.told].flatMap(([id, told]) => {
        const { state, settled_nanos: settled, uncollected_nanos: rest } = written.get(id) ?? { state: 'lost' }
        const is = state === 'settled' ? `settled ${settled} ${rest}` : state
        return is === told ? [] : [`reservation ${id} is ${is}, and ${told} was told`]
      }),
      ...this.credits.filter((credit) => !inBooks.has(keyOf(credit))).map(({ id }) => `credit ${id} is lost`),
    ]
  }

  private newReservation(choice: Choice): NewReservation {
    const { users, keys, companies } = this.accounts
    const key = choice(2) ? keys[choice(keys.length)] : undefined
    const optionalAccountIds = [...(key ? [key] : []), ...(choice(4) ? companies : []), ...(choice(4) ? [] : [newId()])]
    return newReservation([users[choice(users.length)] ?? ''], BigInt(1 + choice(200)), {
      optionalAccountIds,
      usage: newBeginning({ userId: users[choice(users.length)] ?? '', keyId: key ?? null, model: `m${choice(3)}` }),
      expiresAt: after(choice(20_000)),
      at: sometime(choice),
    })
  }

  private busyCaller(choice: Choice): Pick<NewReservation, 'accountIds' | 'optionalAccountIds'> {
    const { rich, keys } = this.accounts
    return { accountIds: [rich[choice(rich.length)] ?? ''], optionalAccountIds: keys.slice(0, choice(8) ? 0 : 1) }
  }

  /** Some that are open. Now and then they stay where they are, so that another client resolves them at the same time. */
  private take(choice: Choice): NewReservation[] {
    const from = choice(Math.max(1, this.open.length))
    const taken = this.open.slice(from, from + 1 + choice(4))
    if (choice(5) > 0) this.open.splice(from, taken.length)
    this.done.push(...taken)
    return taken
  }

  private async settle(ledger: LedgerStore, reservations: NewReservation[], amounts: bigint[]): Promise<void> {
    const settlements = reservations.map(({ id, usage, at }, i) => {
      const event = newEvent({ data: { reservation_id: id } })
      const record = usage && newUsage({ ...usage, id, completedAt: at })
      return { id, amount: amounts[i] ?? 0n, usage: record, event, lowAt: 500n, at }
    })
    for (const { id, amount } of settlements) this.asked.set(id, [...(this.asked.get(id) ?? []), amount])
    const { answer } = await this.sure(() => ledger.settle(settlements))
    answer.forEach((settled, i) => {
      const { id } = reservations[i] as NewReservation
      this.hear(id, settled.outcome === 'settled' ? this.settled(id, settled) : this.closed(settled))
    })
  }

  private settled(id: string, { settled, uncollected }: Extract<Settled, { outcome: 'settled' }>): string {
    if (!this.asked.get(id)?.includes(settled + uncollected)) this.faults.push(`${id} was settled as nobody asked`)
    return `settled ${settled} ${uncollected}`
  }

  private closed(answer: { outcome: string; state?: string }): string | undefined {
    if (answer.outcome === 'unknown') return 'unknown'
    // How much was settled, it does not say.
    return answer.state === 'settled' ? undefined : answer.state
  }

  private hear(id: string, what: string | undefined): void {
    const before = this.told.get(id)
    if (what === undefined) return
    if (before !== undefined && before !== what) this.faults.push(`${id} is ${before}, then ${what}`)
    this.told.set(id, what)
  }

  /** Asks until there is an answer, as whoever lost a connection does. @param refusal a code that is one, too. */
  private async sure<T>(call: () => Promise<T>): Promise<{ answer: T; attempts: number }>
  private async sure<T>(call: () => Promise<T>, refusal: string): Promise<{ answer: T | undefined; attempts: number }>
  private async sure<T>(
    call: () => Promise<T>,
    refusal?: string,
  ): Promise<{ answer: T | undefined; attempts: number }> {
    for (let attempts = 1; ; attempts++) {
      try {
        return { answer: await call(), attempts }
      } catch (error) {
        const code = error instanceof AppError ? error.code : undefined
        if (code !== undefined && code === refusal) return { answer: undefined, attempts }
        if (!isLost(error) || attempts === ATTEMPTS) throw error
        this.repeated++
        await Bun.sleep(5)
      }
    }
  }
}
