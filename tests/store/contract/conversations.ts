import { expect, test } from 'bun:test'
import { newId } from '../../../src/lib/ids'
import type { User } from '../../../src/store/port'
import { AT, after, type Given, message } from './given'

export function conversationsContract(given: () => Given): void {
  const conversations = () => given().store.conversations

  test('lists conversations of their owner, the one changed last first, a page at a time', async () => {
    const [user, other] = [await given().user(), await given().user()]
    await given().begun(other)
    const [old, middle, fresh] = [
      await given().begun(user, { at: after(30) }),
      await given().begun(user, { at: after(10) }),
      await given().begun(user, { at: after(20) }),
    ].map(({ conversationId }) => conversationId)
    const list = async (page: number, limit: number) => {
      const { items, total } = await conversations().list(user, { page, limit })
      return { ids: items.map(({ id }) => id), total }
    }
    expect(await list(1, 10)).toEqual({ ids: [old, fresh, middle].map(String), total: 3 })
    expect(await list(1, 2)).toEqual({ ids: [old, fresh].map(String), total: 3 })
    expect(await list(2, 2)).toEqual({ ids: [String(middle)], total: 3 })
    expect(await list(3, 2)).toEqual({ ids: [], total: 3 })
    await conversations().update(user, String(middle), { title: 'Touched' }, { at: after(99) })
    expect((await list(1, 1)).ids).toEqual([String(middle)])
  })

  test('pages through conversations of one moment without showing one twice', async () => {
    const user = await given().user()
    const made = [await given().begun(user), await given().begun(user), await given().begun(user)]
    const pages = await Promise.all([1, 2, 3].map((page) => conversations().list(user, { page, limit: 1 })))
    const shown = pages.flatMap(({ items }) => items.map(({ id }) => id))
    expect(shown).toEqual(made.map(({ conversationId }) => conversationId).reverse())
  })

  /** A chain of eight messages, m0 to m6 and an answer. */
  const chain = async (user: User) => {
    const messages = Array.from({ length: 7 }, (_, i) => message(`m${i}`))
    return given().answered(user, { messages })
  }
  const contents = (path: { items: { content: string }[] }) => path.items.map(({ content }) => content)

  test('reads a path in pages: page 1 is the newest end, each page is oldest first', async () => {
    const user = await given().user()
    const { conversationId: id } = await chain(user)
    const page = async (n: number) => contents(await given().path(user, id, { page: n, limit: 3 }))
    expect(await page(1)).toEqual(['m5', 'm6', 'answer'])
    expect(await page(2)).toEqual(['m2', 'm3', 'm4'])
    expect(await page(3)).toEqual(['m0', 'm1'])
    expect(await page(4)).toEqual([])
    expect((await given().path(user, id, { page: 4, limit: 3 })).total).toBe(8)
  })

  test('reads the path to another end than the active one', async () => {
    const user = await given().user()
    const { conversationId: id, messages } = await chain(user)
    const fork = await given().begun(user, { in: id, parentId: messages[1]?.id ?? null, messages: [message('fork')] })
    expect(contents(await given().path(user, id))).toEqual(['m0', 'm1', 'fork', ''])
    expect(contents(await given().path(user, id, { leafId: String(messages[2]?.id) }))).toEqual(['m0', 'm1', 'm2'])
    expect(contents(await given().path(user, id, { leafId: fork.questionId, limit: 1 }))).toEqual(['fork'])
  })

  test('numbers the alternatives at a fork, roots included', async () => {
    const user = await given().user()
    const first = await given().answered(user)
    const id = first.conversationId
    const again = { in: id, parentId: first.questionId, messages: [] }
    const [second, third] = [await given().answered(user, again), await given().answered(user, again)]
    const root = await given().answered(user, { in: id, parentId: null })
    const siblings = async (leafId: string) => (await given().path(user, id, { leafId })).items.map((m) => m.siblings)
    expect(await siblings(second.answerId)).toEqual([
      { index: 1, count: 2, prev: null, next: root.questionId },
      { index: 2, count: 3, prev: first.answerId, next: third.answerId },
    ])
    expect(await siblings(third.answerId)).toMatchObject([
      {},
      { index: 3, count: 3, prev: second.answerId, next: null },
    ])
    expect(await siblings(root.answerId)).toEqual([
      { index: 2, count: 2, prev: first.questionId, next: null },
      { index: 1, count: 1, prev: null, next: null },
    ])
  })

  test('reads the bare path from the root, at most so far', async () => {
    const user = await given().user()
    const { conversationId: id, messages } = await chain(user)
    await given().begun(user, { in: id, parentId: messages[2]?.id ?? null, messages: [message('fork')] })
    const prefix = async (limit: number) => (await conversations().prefix(user, id, limit))?.map((m) => m.content)
    expect(await prefix(2)).toEqual(['m0', 'm1'])
    expect(await prefix(100)).toEqual(['m0', 'm1', 'm2', 'fork', ''])
  })

  test('changes what it is told, counts the change and remembers who named it', async () => {
    const user = await given().user()
    const { conversationId: id } = await given().begun(user)
    const before = await given().conversation(user, id)
    const named = await conversations().update(user, id, { title: 'Mine' }, { at: after(5) })
    const conversation = { ...before, title: 'Mine', titleSource: 'user', rev: 2, updatedAt: after(5) } as const
    expect(named).toEqual({ outcome: 'updated', conversation })
    const patch = { model: 'm', systemPrompt: 'p' }
    expect(await conversations().update(user, id, patch, { rev: 2, at: after(6) })).toEqual({
      outcome: 'updated',
      conversation: { ...conversation, ...patch, rev: 3, updatedAt: after(6) },
    })
    expect(await given().conversation(user, id)).toMatchObject({ title: 'Mine', rev: 3 })
  })

  test('refuses a change to an older state and shows the current one', async () => {
    const user = await given().user()
    const { conversationId: id } = await given().begun(user)
    await conversations().update(user, id, { title: 'First' }, { rev: 1, at: AT })
    const current = await given().conversation(user, id)
    const stale = await conversations().update(user, id, { title: 'Second' }, { rev: 1, at: AT })
    expect(stale).toEqual({ outcome: 'stale', conversation: current })
    expect(await given().conversation(user, id)).toEqual(current)
  })

  test('lets one of many changes to the same state win', async () => {
    const user = await given().user()
    const { conversationId: id } = await given().begun(user)
    const results = await Promise.all(
      Array.from({ length: 10 }, (_, i) => conversations().update(user, id, { title: `t${i}` }, { rev: 1, at: AT })),
    )
    const winners = results.flatMap((result, i) => (result?.outcome === 'updated' ? [`t${i}`] : []))
    expect(winners).toHaveLength(1)
    expect(await given().conversation(user, id)).toMatchObject({ title: String(winners[0]), rev: 2 })
  })

  test('removes a conversation with everything in it, once', async () => {
    const user = await given().user()
    const turn = await given().begun(user)
    const id = turn.conversationId
    await given().begun(user, { in: id, parentId: null })
    const kept = await given().answered(user)
    await given().store.turns.checkpoint([{ runId: turn.runId, seq: 1, text: 'x' }])
    expect(await conversations().remove(user, id)).toBe(true)
    expect(await conversations().remove(user, id)).toBe(false)
    for (const table of ['messages', 'branches', 'runs'])
      expect(await given().count(table, 'conversation_id', id)).toBe(0)
    expect(await given().count('run_checkpoints', 'run_id', turn.runId)).toBe(0)
    expect((await given().path(user, kept.conversationId)).total).toBe(2)
  })

  test('shows nobody else anything', async () => {
    const [user, stranger] = [await given().user(), await given().user()]
    const { conversationId: id, answerId } = await given().answered(user)
    const before = await given().conversation(user, id)
    for (const other of [stranger, { ...user, tenantId: newId() }]) {
      expect(await conversations().list(other, { page: 1, limit: 10 })).toEqual({ items: [], total: 0 })
      expect(await conversations().find(other, id)).toBeUndefined()
      expect(await conversations().path(other, id, { page: 1, limit: 10 })).toBeUndefined()
      expect(await conversations().path(other, id, { leafId: answerId, page: 1, limit: 10 })).toBeUndefined()
      expect(await conversations().prefix(other, id, 10)).toBeUndefined()
      expect(await conversations().findMessage(other, answerId)).toBeUndefined()
      expect(await conversations().update(other, id, { title: 'Taken' }, { at: AT })).toBeUndefined()
      expect(await conversations().update(other, id, { title: 'Taken' }, { rev: 1, at: AT })).toBeUndefined()
      expect(await conversations().remove(other, id)).toBe(false)
    }
    expect(await given().conversation(user, id)).toEqual(before)
  })

  test('knows no path to a message of another conversation', async () => {
    const user = await given().user()
    const [one, other] = [await given().answered(user), await given().answered(user)]
    const wrong = { leafId: other.answerId, page: 1, limit: 10 }
    expect(await conversations().path(user, one.conversationId, wrong)).toBeUndefined()
    expect(await conversations().path(user, one.conversationId, { ...wrong, leafId: newId() })).toBeUndefined()
  })
}
