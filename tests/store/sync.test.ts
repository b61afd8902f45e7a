import { afterAll, beforeAll, expect, test } from 'bun:test'
import fc from 'fast-check'
import type { PoolClient } from 'pg'
import type { User } from '../../src/store/port'
import { openTestPostgres, type TestStore } from '../support/db'
import { AT, Given, message, newTurn, type Turn } from './contract/given'
import { Device, truth } from './device'

// Only on real Postgres: transactions that run at the same time are what this is about.

let opened: TestStore
let given: Given
beforeAll(async () => {
  opened = await openTestPostgres()
  given = new Given(opened)
})
afterAll(() => opened.close())

/** A transaction that has its number already; it writes and commits when it is told to. */
async function numbered(): Promise<{ client: PoolClient; commit: () => Promise<void> }> {
  const client: PoolClient = await opened.pool.connect()
  await client.query('begin')
  await client.query('select pg_current_xact_id()')
  return {
    client,
    async commit() {
      await client.query('commit')
      client.release()
    },
  }
}

const rename = (client: PoolClient, id: string, title: string) =>
  client.query('update conversations set title = $2, rev = rev + 1 where id = $1', [id, title])

const same = async (device: Device, user: User) => expect(device.state()).toEqual(await truth(given, user))

test('misses nothing that commits after something younger was read', async () => {
  const user = await given.user()
  const { conversationId: slow } = await given.answered(user)
  const device = new Device(given.store, user)
  await device.catchUp(100)
  const late = await numbered()
  await rename(late.client, slow, 'Late')
  await given.answered(user)
  await device.catchUp(100)
  expect(device.conversations.size).toBe(2)
  await late.commit()
  await device.catchUp(100)
  await same(device, user)
})

test('misses no message when an older transaction was the last to touch its conversation', async () => {
  const user = await given.user()
  const { conversationId: id } = await given.answered(user)
  const device = new Device(given.store, user)
  await device.catchUp(100)
  const older = await numbered()
  // Keeps the bound of the feed between the two that write to the conversation.
  const between = await numbered()
  await given.answered(user, { in: id })
  await rename(older.client, id, 'Older')
  await older.commit()
  await device.catchUp(100)
  await between.commit()
  await device.catchUp(100)
  await same(device, user)
})

test('misses no message of a conversation that was written to again above the bound', async () => {
  const user = await given.user()
  const { conversationId: id } = await given.answered(user)
  const device = new Device(given.store, user)
  await device.catchUp(100)
  const turn = await given.begun(user, { in: id })
  const between = await numbered()
  await given.finish(turn)
  await given.answered(user, { in: id })
  await device.catchUp(100)
  await between.commit()
  await device.catchUp(100)
  await same(device, user)
})

type Op = 'open' | 'send' | 'regenerate' | 'finish' | 'rename' | 'bulk' | 'delete' | 'cut' | 'hold' | 'late' | 'pull'

/** A person's first device and the server's own work, at random, while the second one reads. */
class Writers {
  private readonly turns: Turn[] = []
  private readonly held: Awaited<ReturnType<typeof numbered>>[] = []

  constructor(
    private readonly user: User,
    private readonly device: Device,
  ) {}

  async act(op: Op, choice: number): Promise<unknown> {
    const turn = this.turns[choice % Math.max(1, this.turns.length)]
    if (op === 'open' || !turn) return this.begin({})
    const { conversationId: id } = turn
    switch (op) {
      case 'send':
        return this.begin({ in: id, messages: [message(`message ${choice}`)] })
      case 'regenerate':
        return this.begin({ in: id, parentId: turn.questionId, messages: [] })
      case 'finish':
        return given.finish(turn, `answer ${choice}`)
      case 'rename':
        return given.store.conversations.update(this.user, id, { title: `Name ${choice}` }, { at: AT })
      case 'bulk': {
        const changes = [...new Set(this.turns.map((one) => one.conversationId))].map((each) => ({
          id: each,
          archived: choice % 2 === 0,
        }))
        return given.store.bulk.update(this.user, changes, { allOrNothing: false, at: AT })
      }
      case 'delete':
        return choice % 3 === 0 ? given.store.bulk.remove(this.user, [id], AT) : undefined
      case 'cut':
        return given.store.messages.remove(this.user, turn.questionId, { at: AT })
      case 'pull':
        return this.device.pull((choice % 5) + 1)
      default:
        return this.late(op, id, choice)
    }
  }

  /** Takes a number early, or writes with one that was taken early. */
  private async late(op: 'hold' | 'late', id: string, choice: number): Promise<void> {
    if (op === 'hold' && this.held.length < 5) this.held.push(await numbered())
    const [held] = op === 'late' ? this.held.splice(choice % Math.max(1, this.held.length), 1) : []
    if (!held) return
    await rename(held.client, id, `Late ${choice}`)
    await held.commit()
  }

  private async begin(options: Parameters<typeof newTurn>[0]): Promise<void> {
    const turn = newTurn(options)
    const result = await given.store.turns.begin(this.user, turn)
    if (result.outcome !== 'begun') return
    const questionId = turn.messages[0]?.id ?? options?.parentId ?? ''
    this.turns.push({ ...turn, ...result, answerId: turn.answerId, questionId })
  }

  async end(): Promise<void> {
    for (const { commit } of this.held.splice(0)) await commit()
  }
}

test('ends with the same on a second device, whatever is written at the same time while it reads', async () => {
  const op = fc.constantFrom<Op>(
    ...(['open', 'send', 'send', 'regenerate', 'finish', 'finish', 'rename', 'bulk', 'delete', 'cut'] as const),
    ...(['hold', 'hold', 'late', 'late', 'pull', 'pull', 'pull'] as const),
  )
  const step = fc.array(fc.tuple(op, fc.nat(1000)), { minLength: 1, maxLength: 6 })
  const property = fc.asyncProperty(
    fc.array(step, { minLength: 1, maxLength: 15 }),
    fc.integer({ min: 1, max: 20 }),
    async (steps, limit) => {
      const user = await given.user()
      const device = new Device(given.store, user)
      const writers = new Writers(user, device)
      for (const together of steps) {
        // One reader: a device waits for its answer before it asks again.
        const [reads, writes] = [
          together.filter(([what]) => what === 'pull'),
          together.filter(([what]) => what !== 'pull'),
        ]
        const reading = async () => {
          for (const [what, choice] of reads) await writers.act(what, choice)
        }
        await Promise.all([reading(), ...writes.map(([what, choice]) => writers.act(what, choice))])
      }
      await writers.end()
      // The reading that was under way, and one that begins when nobody writes any more.
      await device.catchUp(limit)
      await device.catchUp(limit)
      await same(device, user)
    },
  )
  // A race does not happen again in the same way, so there is nothing to shrink.
  await fc.assert(property, { numRuns: 60, endOnFailure: true, includeErrorInReport: true })
}, 60_000)
