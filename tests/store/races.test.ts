import { afterAll, beforeAll, expect, test } from 'bun:test'
import fc from 'fast-check'
import type { User } from '../../src/store/port'
import { openPostgres } from '../../src/store/postgres'
import { sqlStore } from '../../src/store/sql'
import { createDatabase, openTestPostgres, type TestStore } from '../support/db'
import { AT, atOnce, Given, message, newTurn, type Turn } from './contract/given'
import { brokenTrees } from './soundness'

// Only on real Postgres: the embedded database has one connection, and hides what races.

let opened: TestStore
let given: Given
beforeAll(async () => {
  opened = await openTestPostgres()
  given = new Given(opened)
})
afterAll(() => opened.close())

test('keeps the tree sound when twenty tabs send to one conversation at once', async () => {
  const user = await given.user()
  const { conversationId: id } = await given.answered(user)
  const turns = Array.from({ length: 20 }, (_, i) => newTurn({ in: id, messages: [message(`tab ${i}`)] }))
  const results = await Promise.all(turns.map((turn) => given.store.turns.begin(user, turn)))
  const outcomes = results.map(({ outcome }) => outcome)
  expect(outcomes.filter((outcome) => outcome === 'begun')).toHaveLength(1)
  expect(outcomes.filter((outcome) => outcome === 'busy')).toHaveLength(19)
  expect(await brokenTrees(given, user.userId)).toEqual([])
  expect(await given.conversation(user, id)).toMatchObject({
    rev: 2,
    activeLeafId: String(turns[outcomes.indexOf('begun')]?.answerId),
  })
})

test('loses no message when twenty tabs send and wait for each other', async () => {
  const user = await given.user()
  const { conversationId: id } = await given.answered(user)
  await atOnce(20, async (i) => {
    for (;;) {
      const turn = newTurn({ in: id, messages: [message(`tab ${i}`)] })
      const { outcome } = await given.store.turns.begin(user, turn)
      if (outcome === 'begun') return given.finish(turn)
      expect(outcome).toBe('busy')
    }
  })
  const { items, total } = await given.path(user, id)
  expect(total).toBe(42)
  const said = items.flatMap(({ role, content }) => (role === 'user' ? [content] : [])).slice(1)
  expect(said.sort()).toEqual(Array.from({ length: 20 }, (_, i) => `tab ${i}`).sort())
  expect(await brokenTrees(given, user.userId)).toEqual([])
  expect(await given.conversation(user, id)).toMatchObject({ rev: 21 })
})

test('opens a branch for each of twenty answers made again at once', async () => {
  const user = await given.user()
  const first = await given.answered(user)
  const again = { in: first.conversationId, parentId: first.questionId, messages: [] }
  const turns = await atOnce(20, () => given.begun(user, again))
  expect(await brokenTrees(given, user.userId)).toEqual([])
  const branches = await given.branches(first.conversationId)
  expect(branches).toHaveLength(21)
  expect(new Set(branches.map(({ name }) => name)).size).toBe(21)
  const { items } = await given.path(user, first.conversationId, { leafId: String(turns[0]?.answerId) })
  expect(items[1]?.siblings.count).toBe(21)
})

test('migrates an empty database once when ten servers start at the same time', async () => {
  const { url, drop } = await createDatabase()
  const stores = await atOnce(10, () => sqlStore('postgres', openPostgres({ url, poolSize: 2, onError: () => {} })))
  try {
    await Promise.all(stores.map((store) => store.ping()))
    const pool = openPostgres({ url, poolSize: 1, onError: () => {} })
    const fresh = await given.sql<{ n: string }>('select count(*) as n from drizzle.__drizzle_migrations')
    const { rows } = await pool.pool.query('select count(*) as n from drizzle.__drizzle_migrations')
    await pool.close()
    expect(rows).toEqual(fresh)
    const locks = await given.sql(`select 1 from pg_locks where locktype = 'advisory'`)
    expect(locks).toEqual([])
  } finally {
    await Promise.all(stores.map((store) => store.close()))
    await drop()
  }
})

type Op = 'open' | 'send' | 'edit' | 'regenerate' | 'over' | 'finish' | 'reap' | 'rename' | 'delete'

/** Everything that clients have been told, from which they choose what to do next. It may be out of date. */
class Clients {
  private readonly turns: Turn[] = []
  private readonly revs = new Map<string, number>()

  constructor(private readonly user: User) {}

  async act(op: Op, choice: number): Promise<void> {
    const { store } = given
    const turn = this.turns[choice % Math.max(1, this.turns.length)]
    if (op === 'open' || !turn) return this.begin(undefined)
    const id = turn.conversationId
    if (op === 'send') await this.begin(id)
    else if (op === 'edit') await this.begin(id, { parentId: turn.answerId })
    else if (op === 'regenerate') await this.begin(id, { parentId: turn.questionId, messages: [] })
    else if (op === 'over') await this.begin(id, { parentId: null })
    else if (op === 'finish') await given.finish(turn)
    else if (op === 'reap') await store.runs.interruptOrphans(10, AT)
    else if (op === 'rename') {
      if (await store.conversations.update(this.user, id, { title: 'New' }, { at: AT })) this.changed(id)
    } else if (await store.conversations.remove(this.user, id)) this.revs.set(id, Number.NaN)
  }

  private async begin(id: string | undefined, options: Parameters<typeof newTurn>[0] = {}): Promise<void> {
    const turn = newTurn({ ...options, ...(id ? { in: id } : {}) })
    const result = await given.store.turns.begin(this.user, turn)
    if (result.outcome !== 'begun') return
    // Made again, an answer has no question of its own: its parent takes that place.
    const questionId = turn.messages[0]?.id ?? options.parentId ?? ''
    this.turns.push({ ...turn, ...result, answerId: turn.answerId, questionId })
    this.changed(result.conversationId)
  }

  private changed(id: string): void {
    this.revs.set(id, (this.revs.get(id) ?? 0) + 1)
  }

  /** How often each living conversation has changed. */
  expectedRevs(): [string, number][] {
    return [...this.revs].filter(([, rev]) => !Number.isNaN(rev)).sort()
  }
}

test('keeps every tree sound whatever several clients do at the same time', async () => {
  const op = fc.constantFrom<Op>(
    'open',
    'send',
    'send',
    'edit',
    'regenerate',
    'over',
    'finish',
    'finish',
    'reap',
    'rename',
    'delete',
  )
  const step = fc.array(fc.tuple(op, fc.nat(1000)), { minLength: 1, maxLength: 6 })
  const property = fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
    const user = await given.user()
    const clients = new Clients(user)
    for (const together of steps) {
      await Promise.all(together.map(([op, choice]) => clients.act(op, choice)))
      expect(await brokenTrees(given, user.userId)).toEqual([])
      const { items } = await given.store.conversations.list(user, { page: 1, limit: 100 })
      expect(items.map(({ id, rev }) => [id, rev] as [string, number]).sort()).toEqual(clients.expectedRevs())
    }
  })
  // A race does not happen again in the same way, so there is nothing to shrink.
  await fc.assert(property, { numRuns: 50, endOnFailure: true, includeErrorInReport: true })
}, 60_000)
