import { expect, test } from 'bun:test'
import { newId } from '../../../src/lib/ids'
import type { ArchivedTree, Owner } from '../../../src/store/port'
import { AT, after, type Given } from './given'

/** A root with two answers, each the end of a branch. */
export const forkedTree = (): ArchivedTree => {
  const [id, root, left, right, main, other] = Array.from({ length: 6 }, newId) as [string, ...string[]]
  const message = (own: string, parentId: string | null, depth: number): ArchivedTree['messages'][number] => ({
    id: own,
    parentId,
    branchId: String(main),
    depth,
    role: depth === 0 ? 'user' : 'assistant',
    content: 'текст "x" \\u0000 {}',
    extra: { reasoning_content: 'why', list: [1, 'two', null] },
    status: 'stopped',
    model: 'a-model',
    finishReason: 'length',
    usage: { total_tokens: 3 },
    costNanos: 9_007_199_254_740_993n,
    metadata: { a: '10.5' },
    createdAt: after(depth),
    completedAt: after(depth + 1),
  })
  const end = { createdAt: AT, viewedAt: after(5) }
  return {
    conversation: {
      id,
      title: 'Title',
      titleSource: 'auto',
      model: 'a-model',
      systemPrompt: 'Be brief',
      settings: { temperature: 0.5 },
      metadata: { shelf: '7' },
      tags: ['a', 'b,"c"'],
      pinnedAt: after(1),
      archivedAt: null,
      activeLeafId: String(right),
      createdAt: AT,
      updatedAt: after(9),
    },
    branches: [
      { ...end, id: String(main), name: 'Main', parentMessageId: null, leafId: String(left) },
      { ...end, id: String(other), name: 'Other', parentMessageId: String(root), leafId: String(right) },
    ],
    messages: [
      message(String(root), null, 0),
      message(String(left), String(root), 1),
      message(String(right), String(root), 1),
    ],
  }
}

export function archiveContract(given: () => Given): void {
  const archive = () => given().store.archive

  const ids = ({ messages }: ArchivedTree) => messages.map(({ id }) => id)
  const written = async (owner: Owner, whole = forkedTree()) => {
    expect(await archive().write(owner, whole)).toBe('written')
    return whole
  }

  test('gives back what was written, with rev 1', async () => {
    const user = await given().user()
    const whole = await written(user)
    const { id } = whole.conversation
    const [, other] = whole.branches
    expect(await archive().find(user, id)).toEqual({
      conversation: { ...whole.conversation, activeBranchId: String(other?.id), rev: 1 },
      branches: whole.branches,
    })
    const outline = await archive().outline(user, id)
    expect(outline.map((node) => ({ id: node.id, parentId: node.parentId }))).toEqual(
      whole.messages.map((node) => ({ id: node.id, parentId: node.parentId })),
    )
    for (const { size } of outline) expect(size).toBeGreaterThan(20)
    const messages = whole.messages.map((node) => ({ ...node, conversationId: id }))
    expect(await archive().messages(user, id, ids(whole))).toEqual(messages)
    expect(await archive().messages(user, id, ids(whole).toReversed())).toEqual(messages.toReversed())
    expect(await archive().messages(user, id, [newId()])).toEqual([])
    expect((await given().path(user, id)).items).toHaveLength(2)
  })

  test('goes on as if it had been grown here', async () => {
    const user = await given().user()
    const { conversation } = await written(user)
    const turn = await given().answered(user, { in: conversation.id })
    expect(turn.branchId).toBe(String((await archive().find(user, conversation.id))?.conversation.activeBranchId))
    expect((await given().conversation(user, conversation.id)).rev).toBe(2)
  })

  test('changes nothing when it is written again', async () => {
    const user = await given().user()
    const whole = await written(user)
    const before = await archive().find(user, whole.conversation.id)
    const changed = { ...whole, conversation: { ...whole.conversation, title: 'Changed' } }
    expect(await archive().write(user, changed)).toBe('exists')
    expect(await archive().find(user, whole.conversation.id)).toEqual(before)
  })

  test('takes no id of anybody else, and leaves nothing half written', async () => {
    const [user, other] = [await given().user(), await given().user()]
    const whole = await written(user)
    expect(await archive().write(other, whole)).toBe('taken')
    const moved = { ...whole, conversation: { ...whole.conversation, id: newId() } }
    expect(await archive().write(other, moved)).toBe('taken')
    expect(await given().count('conversations', 'id', moved.conversation.id)).toBe(0)
    const fresh = forkedTree()
    expect(
      await archive().write(other, {
        ...fresh,
        branches: whole.branches.slice(0, 1).map((b) => ({ ...b, leafId: ids(fresh)[1] ?? null })),
      }),
    ).toBe('taken')
    expect(await given().count('messages', 'conversation_id', fresh.conversation.id)).toBe(0)
  })

  test('shows nothing to anybody else, and says only whether an id is free', async () => {
    const [user, other] = [await given().user(), await given().user()]
    const whole = await written(user)
    const { id } = whole.conversation
    expect(await archive().find(other, id)).toBeUndefined()
    expect(await archive().outline(other, id)).toEqual([])
    expect(await archive().messages(other, id, ids(whole))).toEqual([])
    expect(await archive().find({ ...user, tenantId: newId() }, id)).toBeUndefined()
    expect(await archive().holder(user, id)).toBe('owner')
    expect(await archive().holder(other, id)).toBe('other')
    expect(await archive().holder(user, newId())).toBe('nobody')
  })

  test('writes an empty conversation, and one that comes back after it was deleted', async () => {
    const user = await given().user()
    const whole = await written(user)
    await given().store.bulk.remove(user, [whole.conversation.id], after(20))
    expect(await given().count('deletions', 'conversation_id', whole.conversation.id)).toBe(1)
    await written(user, whole)
    // A device that was away for both has to forget what it has before it gets what there is.
    expect(await given().count('deletions', 'conversation_id', whole.conversation.id)).toBe(1)
    const { conversation, branches } = forkedTree()
    const [main] = branches
    if (!main) throw new Error('A tree has a branch')
    const empty = {
      conversation: { ...conversation, activeLeafId: null },
      branches: [{ ...main, leafId: null }],
      messages: [],
    }
    await written(user, empty)
    expect((await archive().find(user, conversation.id))?.conversation.activeBranchId).toBe(main.id)
  })
}
