import { afterAll, beforeAll, expect, test } from 'bun:test'
import fc from 'fast-check'
import { AppError } from '../../src/errors'
import { newId } from '../../src/lib/ids'
import type { KeyClaim, User, Written } from '../../src/store/port'
import { openPostgres } from '../../src/store/postgres'
import { sqlStore } from '../../src/store/sql'
import { createDatabase, openTestPostgres, type TestStore } from '../support/db'
import { forkedTree } from './contract/archive'
import { AT, atOnce, Given, message, newTurn, type Turn } from './contract/given'
import { newClaim } from './contract/idempotency'
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

test('gives a key to one of fifty claims at once, also when its time was over or its process is dead', async () => {
  const user = await given.user()
  const { idempotency } = given.store
  const living = newId()
  await given.store.runs.heartbeat(living)
  const winners = async (claim: KeyClaim) => {
    const claims = await atOnce(50, () => idempotency.claim(user, { ...claim, instanceId: living }, 10))
    return claims.flatMap(({ outcome }) => (outcome === 'running' ? [] : [outcome]))
  }
  const claim = newClaim()
  expect(await winners(claim)).toEqual(['claimed'])
  const later = { ...claim, at: claim.expiresAt, expiresAt: new Date(claim.expiresAt.getTime() + 1000) }
  expect(await winners(later)).toEqual(['claimed'])
  await given.sql('update idempotency_keys set instance_id = $2 where key = $1', [claim.key, newId()])
  expect(await winners(later)).toEqual(['claimed'])
})

test('migrates an empty database once when ten servers start at the same time', async () => {
  const { url, drop } = await createDatabase()
  const stores = await atOnce(10, () => sqlStore('postgres', openPostgres({ url, poolSize: 2, onError: () => {} })))
  try {
    await Promise.all(stores.map((store) => store.ping()))
    const pool = openPostgres({ url, poolSize: 1, onError: () => {} })
    const fresh = await given.sql<{ n: string }>('select count(*) as n from drizzle.__drizzle_migrations')
    const { rows } = await pool.pool.query('select count(*) as n from drizzle.__drizzle_migrations')
    const { rows: locks } = await pool.pool.query(
      `select 1 from pg_locks where locktype = 'advisory'
       and database = (select oid from pg_database where datname = current_database())`,
    )
    await pool.close()
    expect(rows).toEqual(fresh)
    expect(locks).toEqual([])
  } finally {
    await Promise.all(stores.map((store) => store.close()))
    await drop()
  }
})

type Op = keyof Clients['operations']

/** Everything that clients have been told, from which they choose what to do next. It may be out of date. */
class Clients {
  private readonly turns: Turn[] = []
  private readonly revs = new Map<string, number>()

  constructor(private readonly user: User) {}

  /** What a client does about a turn it has seen. */
  readonly operations = {
    open: () => this.begin(undefined),
    send: ({ conversationId: id }: Turn) => this.begin(id),
    below: ({ conversationId: id, answerId }: Turn) => this.begin(id, { parentId: answerId }),
    regenerate: ({ conversationId: id, questionId }: Turn) => this.begin(id, { parentId: questionId, messages: [] }),
    over: ({ conversationId: id }: Turn) => this.begin(id, { parentId: null }),
    finish: (turn: Turn) => given.finish(turn),
    reap: () => given.store.runs.interruptOrphans(10, AT),
    rename: async ({ conversationId: id }: Turn) => {
      if (await given.store.conversations.update(this.user, id, { title: 'New' }, { at: AT })) this.changed(id)
    },
    edit: ({ questionId }: Turn) => {
      const edited = { id: newId(), branchId: newId(), content: 'edited', extra: null }
      return this.wrote(given.store.messages.edit(this.user, questionId, edited, { at: AT }))
    },
    prune: ({ answerId }: Turn) => this.wrote(given.store.messages.remove(this.user, answerId, { at: AT })),
    uproot: ({ questionId }: Turn) => this.wrote(given.store.messages.remove(this.user, questionId, { at: AT })),
    branch: ({ conversationId: id, questionId: parentMessageId }: Turn) => {
      const branch = { id: newId(), parentMessageId, name: undefined }
      return this.wrote(given.store.branches.create(this.user, id, branch, { at: AT }))
    },
    activate: ({ conversationId: id, branchId }: Turn) =>
      this.wrote(given.store.branches.activate(this.user, id, branchId, { at: AT })),
    cut: ({ conversationId: id, branchId }: Turn) =>
      this.wrote(given.store.branches.remove(this.user, id, branchId, { at: AT })),
    merge: ({ conversationId: id, branchId }: Turn) => {
      const onto = this.turns.findLast((turn) => turn.conversationId === id && turn.branchId !== branchId)
      const between = { id: branchId, onto: onto?.branchId ?? branchId }
      return this.wrote(given.store.branches.merge(this.user, id, between, { at: AT }))
    },
    import: async () => {
      const tree = forkedTree()
      const { id } = tree.conversation
      expect(await given.store.archive.write(this.user, tree)).toBe('written')
      const [question, answer] = tree.messages.map((m) => m.id)
      const branchId = String(tree.branches[0]?.id)
      const told = { model: '', systemPrompt: null, settings: null, context: [], conversationId: id, branchId }
      this.turns.push({ ...newTurn({ in: id }), ...told, questionId: String(question), answerId: String(answer) })
      this.changed(id)
    },
    delete: async ({ conversationId: id }: Turn) => {
      if (await given.store.conversations.remove(this.user, id)) this.revs.set(id, Number.NaN)
    },
  }

  async act(op: Op, choice: number): Promise<void> {
    const turn = this.turns[choice % Math.max(1, this.turns.length)]
    await (turn ? this.operations[op](turn) : this.operations.open())
  }

  /** A write that is done counts; one that is refused, or comes too late, must not. */
  private async wrote(write: Promise<Written<unknown> | undefined>): Promise<void> {
    const written = await write.catch((error) => {
      if (error instanceof AppError && error.code === 'CONFLICT') return undefined
      throw error
    })
    if (written?.outcome === 'done') this.changed(written.conversation.id)
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

/** Whether the alternatives at every fork are numbered 1 to n, each with its neighbours. */
async function expectNumbered(user: User, id: string): Promise<void> {
  const tree = await given.store.conversations.tree(user, id, { page: 1, limit: 1000 })
  for (const alternatives of Map.groupBy(tree?.items ?? [], ({ parentId }) => parentId).values()) {
    const ids = alternatives.map((m) => m.id).sort()
    const places = new Map(alternatives.map((m) => [m.id, m.siblings]))
    const wanted = ids.map((_, i) => ({
      index: i + 1,
      count: ids.length,
      prev: ids[i - 1] ?? null,
      next: ids[i + 1] ?? null,
    }))
    expect(ids.map((one) => places.get(one))).toEqual(wanted)
  }
}

const OFTEN: Op[] = [
  'send',
  'send',
  'finish',
  'finish',
  'finish',
  'edit',
  'branch',
  'activate',
  'prune',
  'cut',
  'merge',
]

test('keeps every tree sound whatever several clients do at the same time', async () => {
  const op = fc.constantFrom<Op>(
    ...OFTEN,
    'open',
    'import',
    'below',
    'regenerate',
    'over',
    'reap',
    'rename',
    'uproot',
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
      for (const { id } of items) await expectNumbered(user, id)
    }
  })
  // A race does not happen again in the same way, so there is nothing to shrink.
  await fc.assert(property, { numRuns: 50, endOnFailure: true, includeErrorInReport: true })
}, 120_000)

test('removes and merges paths of 10,000 messages', async () => {
  const user = await given.user()
  const messages = Array.from({ length: 9999 }, (_, i) => message(`m${i}`, i % 2 ? 'assistant' : 'user'))
  const long = await given.answered(user, { messages })
  const id = long.conversationId
  const other = await given.answered(user, { in: id, parentId: null })
  const between = { id: long.branchId, onto: other.branchId }
  expect(await given.store.branches.merge(user, id, between, { at: AT })).toMatchObject({ value: { copied: 10_000 } })
  const gone = await given.store.messages.remove(user, String(messages[0]?.id), { at: AT })
  expect(gone?.outcome === 'done' && gone.value.length).toBe(10_000)
  expect((await given.path(user, id, { limit: 1 })).total).toBe(10_002)
}, 60_000)
