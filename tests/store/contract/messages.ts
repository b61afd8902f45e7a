import { expect, test } from 'bun:test'
import { newId } from '../../../src/lib/ids'
import type { User } from '../../../src/store/port'
import { brokenTrees } from '../soundness'
import { done } from './branches'
import { AT, after, type Given, message } from './given'

export function messagesContract(given: () => Given): void {
  const messages = () => given().store.messages
  const contents = async (user: User, id: string) => (await given().path(user, id)).items.map(({ content }) => content)
  const edited = (content: string) => ({ id: newId(), branchId: newId(), content, extra: null })
  const branches = async (user: User, id: string) =>
    (await given().store.branches.list(user, id, { page: 1, limit: 100 }))?.items ?? []

  test('finds a message with its place among the alternatives', async () => {
    const user = await given().user()
    const { conversationId: id, answerId, questionId } = await given().answered(user)
    const again = await given().answered(user, { in: id, parentId: questionId, messages: [] })
    const path = await given().path(user, id, { leafId: answerId })
    expect(await messages().find(user, answerId)).toEqual(path.items[1])
    expect(await messages().find(user, questionId)).toEqual(path.items[0])
    expect((await messages().find(user, answerId))?.siblings).toEqual({
      index: 1,
      count: 2,
      prev: null,
      next: again.answerId,
    })
    expect(await messages().find(user, newId())).toBeUndefined()
  })

  test('lists all versions of a message in pages, oldest first', async () => {
    const user = await given().user()
    const { conversationId: id, answerId, questionId } = await given().answered(user)
    const again = { in: id, parentId: questionId, messages: [] }
    const [two, three] = [await given().answered(user, again), await given().answered(user, again)]
    const page = async (of: string, n: number) => {
      const found = await messages().siblings(user, of, { page: n, limit: 2 })
      return [found?.items.map((m) => [m.id, m.siblings.index]), found?.total]
    }
    const first = [
      [
        [answerId, 1],
        [two.answerId, 2],
      ],
      3,
    ]
    expect(await page(answerId, 1)).toEqual(first)
    expect(await page(three.answerId, 1)).toEqual(first)
    expect(await page(two.answerId, 2)).toEqual([[[three.answerId, 3]], 3])
    expect(await page(two.answerId, 3)).toEqual([[], 3])
    expect(await page(questionId, 1)).toEqual([[[questionId, 1]], 1])
  })

  test('edits by another message on a branch of its own, and shows that', async () => {
    const user = await given().user()
    const first = await given().answered(user)
    const id = first.conversationId
    const second = await given().answered(user, { in: id, messages: [message('old')] })
    const change = { ...edited('new'), extra: { name: 'x' } }
    const written = await messages().edit(user, second.questionId, change, { rev: 2, at: after(20) })
    expect(done(written)).toMatchObject({
      id: change.id,
      conversationId: id,
      branchId: change.branchId,
      parentId: first.answerId,
      depth: 2,
      role: 'user',
      content: 'new',
      extra: { name: 'x' },
      status: 'complete',
      createdAt: after(20),
      siblings: { index: 2, count: 2, prev: second.questionId, next: null },
    })
    const state = { rev: 3, activeLeafId: change.id, activeBranchId: change.branchId, updatedAt: after(20) }
    expect(written?.conversation).toMatchObject(state)
    expect(await contents(user, id)).toEqual(['question', 'answer', 'new'])
    const branch = { id: change.branchId, name: 'Branch 2', parentMessageId: first.answerId, active: true }
    expect((await branches(user, id))[1]).toMatchObject(branch)
    expect((await messages().find(user, second.questionId))?.content).toBe('old')
    const answered = await given().answered(user, { in: id, messages: [] })
    expect(answered.branchId).toBe(change.branchId)
    expect(await brokenTrees(given(), user.userId)).toEqual([])
  })

  test('edits the first message by another root', async () => {
    const user = await given().user()
    const { conversationId: id, questionId } = await given().answered(user)
    const root = done(await messages().edit(user, questionId, edited('other'), { at: AT }))
    expect(root).toMatchObject({ parentId: null, depth: 0, siblings: { index: 2, count: 2 } })
    expect(await contents(user, id)).toEqual(['other'])
    expect(await brokenTrees(given(), user.userId)).toEqual([])
  })

  test('edits on the branch that ends at the message above', async () => {
    const user = await given().user()
    const first = await given().answered(user)
    const id = first.conversationId
    const second = await given().answered(user, { in: id, messages: [message('old')] })
    const inner = { id: newId(), parentMessageId: first.answerId, name: 'Inner' }
    await given().store.branches.create(user, id, inner, { at: AT })
    const made = done(await messages().edit(user, second.questionId, edited('new'), { at: AT }))
    expect(made.branchId).toBe(inner.id)
    expect(await branches(user, id)).toHaveLength(2)
    expect(await brokenTrees(given(), user.userId)).toEqual([])
  })

  test('removes a message with all below it and leaves word of each', async () => {
    const user = await given().user()
    const first = await given().answered(user)
    const id = first.conversationId
    const second = await given().answered(user, { in: id, messages: [message('more')] })
    await given().answered(user, { in: id, parentId: second.questionId, messages: [] })
    const gone = done(await messages().remove(user, second.questionId, { rev: 3, at: after(30) }))
    expect(gone).toHaveLength(3)
    expect(await contents(user, id)).toEqual(['question', 'answer'])
    const state = { rev: 4, activeLeafId: first.answerId, updatedAt: after(30) }
    expect(await given().conversation(user, id)).toMatchObject(state)
    // The branch that was shown ends above; the other one is gone.
    expect(await branches(user, id)).toMatchObject([
      { leafId: first.answerId, parentMessageId: first.answerId, active: true },
    ])
    const words = await given().sql<{ id: string }>('select id from deletions where user_id = $1', [user.userId])
    expect(words.map((word) => word.id).sort()).toEqual(gone.sort())
    expect(await given().count('runs', 'conversation_id', id)).toBe(1)
    expect(await brokenTrees(given(), user.userId)).toEqual([])
  })

  test('leaves what is shown alone when it is elsewhere', async () => {
    const user = await given().user()
    const { conversationId: id, questionId, answerId, branchId } = await given().answered(user)
    const again = await given().answered(user, { in: id, parentId: questionId, messages: [] })
    expect(done(await messages().remove(user, answerId, { at: AT }))).toEqual([answerId])
    expect(await given().conversation(user, id)).toMatchObject({ activeLeafId: again.answerId, rev: 3 })
    expect(await branches(user, id)).toMatchObject([
      { id: branchId, leafId: questionId },
      { id: again.branchId, leafId: again.answerId },
    ])
    expect((await messages().find(user, again.answerId))?.siblings).toMatchObject({ index: 1, count: 1 })
    expect(done(await messages().remove(user, again.answerId, { at: AT }))).toHaveLength(1)
    expect(await branches(user, id)).toMatchObject([{ id: branchId, leafId: questionId, active: true }])
    expect(await brokenTrees(given(), user.userId)).toEqual([])
  })

  test('shows another beginning when the shown one is removed', async () => {
    const user = await given().user()
    const first = await given().answered(user)
    const id = first.conversationId
    const root = await given().answered(user, { in: id, parentId: null, at: after(5) })
    expect(done(await messages().remove(user, root.questionId, { at: AT }))).toHaveLength(2)
    expect(await given().conversation(user, id)).toMatchObject({ activeBranchId: first.branchId })
    expect(await brokenTrees(given(), user.userId)).toEqual([])
  })

  test('empties a conversation, which goes on in its first branch', async () => {
    const user = await given().user()
    const { conversationId: id, questionId, branchId } = await given().answered(user)
    await given().answered(user, { in: id, parentId: questionId, messages: [] })
    expect(done(await messages().remove(user, questionId, { at: AT }))).toHaveLength(3)
    expect(await given().conversation(user, id)).toMatchObject({ activeLeafId: null, activeBranchId: branchId })
    const main = { id: branchId, name: 'Main', leafId: null, parentMessageId: null, messageCount: 0, preview: '' }
    expect(await branches(user, id)).toMatchObject([{ ...main, active: true }])
    expect(await given().path(user, id)).toEqual({ items: [], total: 0 })
    expect(await given().store.branches.compare(user, id, { a: branchId, b: branchId, page: 1, limit: 9 })).toEqual({
      commonLength: 0,
      lastCommonId: null,
      a: { items: [], total: 0 },
      b: { items: [], total: 0 },
    })
    expect(await brokenTrees(given(), user.userId)).toEqual([])
    expect((await given().answered(user, { in: id })).branchId).toBe(branchId)
    expect(await contents(user, id)).toEqual(['question', 'answer'])
    expect(await brokenTrees(given(), user.userId)).toEqual([])
  })

  test('names what is being written below a message, and forgets its run with it', async () => {
    const user = await given().user()
    const { conversationId: id, questionId, answerId } = await given().answered(user)
    const running = await given().begun(user, { in: id })
    const again = await given().begun(user, { in: id, parentId: questionId, messages: [] })
    const both = [running.answerId, again.answerId].sort()
    expect((await messages().writing(user, questionId)).sort()).toEqual(both)
    expect(await messages().writing(user, answerId)).toEqual([running.answerId])
    expect(await messages().writing(user, newId())).toEqual([])
    done(await messages().remove(user, answerId, { at: AT }))
    expect(await given().store.runs.find(user, running.runId)).toBeUndefined()
    await given().finish(running)
    await given().finish(again)
    expect(await brokenTrees(given(), user.userId)).toEqual([])
  })

  test('removes and merges long paths', async () => {
    const user = await given().user()
    const long = Array.from({ length: 999 }, (_, i) => message(`m${i}`, i % 2 ? 'assistant' : 'user'))
    const turn = await given().answered(user, { messages: long })
    const id = turn.conversationId
    const root = String(long[0]?.id)
    const other = await given().answered(user, { in: id, parentId: null })
    const between = { id: turn.branchId, onto: other.branchId }
    expect(done(await given().store.branches.merge(user, id, between, { at: AT })).copied).toBe(1000)
    expect(done(await messages().remove(user, root, { at: AT }))).toHaveLength(1000)
    expect((await given().path(user, id, { limit: 1 })).total).toBe(1002)
    expect(await brokenTrees(given(), user.userId)).toEqual([])
  })

  test('refuses every write to an older state and shows the current one', async () => {
    const user = await given().user()
    const { conversationId: id, questionId } = await given().answered(user)
    await given().answered(user, { in: id })
    const stale = { outcome: 'stale', conversation: await given().conversation(user, id) } as const
    expect(await messages().edit(user, questionId, edited('x'), { rev: 1, at: AT })).toEqual(stale)
    expect(await messages().remove(user, questionId, { rev: 1, at: AT })).toEqual(stale)
    expect((await given().path(user, id)).total).toBe(4)
  })

  test('shows nobody else anything', async () => {
    const user = await given().user()
    const { conversationId: id, questionId } = await given().begun(user)
    for (const owner of [await given().user(), { ...user, tenantId: newId() }]) {
      expect(await messages().find(owner, questionId)).toBeUndefined()
      expect(await messages().siblings(owner, questionId, { page: 1, limit: 10 })).toBeUndefined()
      expect(await messages().edit(owner, questionId, edited('x'), { at: AT })).toBeUndefined()
      expect(await messages().writing(owner, questionId)).toEqual([])
      expect(await messages().remove(owner, questionId, { rev: 1, at: AT })).toBeUndefined()
    }
    expect(await given().conversation(user, id)).toMatchObject({ rev: 1 })
    expect(await given().count('messages', 'conversation_id', id)).toBe(2)
  })
}
