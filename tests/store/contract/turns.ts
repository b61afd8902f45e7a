import { expect, test } from 'bun:test'
import { newId } from '../../../src/lib/ids'
import type { BeginTurn, Owner } from '../../../src/store/port'
import { AT, after, atOnce, type Given, message, newTurn } from './given'

export function turnsContract(given: () => Given): void {
  const begin = (owner: Owner, turn: BeginTurn) => given().store.turns.begin(owner, turn)

  test('opens a conversation with its first turn', async () => {
    const user = await given().user()
    const turn = await given().begun(user, { title: 'Tea', systemPrompt: 'Be brief', model: 'm' })
    expect(turn).toMatchObject({ model: 'm', systemPrompt: 'Be brief', context: [] })
    expect(await given().conversation(user, turn.conversationId)).toEqual({
      id: turn.conversation.id,
      title: 'Tea',
      titleSource: 'auto',
      model: 'm',
      systemPrompt: 'Be brief',
      settings: null,
      metadata: null,
      tags: [],
      pinnedAt: null,
      archivedAt: null,
      activeLeafId: turn.answerId,
      activeBranchId: turn.branchId,
      rev: 1,
      createdAt: AT,
      updatedAt: AT,
    })
    const { items, total } = await given().path(user, turn.conversationId)
    expect(total).toBe(2)
    expect(items).toMatchObject([
      { id: turn.questionId, parentId: null, depth: 0, role: 'user', content: 'question', status: 'complete' },
      { id: turn.answerId, parentId: turn.questionId, depth: 1, role: 'assistant', content: '', status: 'streaming' },
    ])
    expect(items).toMatchObject([
      { model: null, completedAt: AT, createdAt: AT },
      { model: 'm', completedAt: null, createdAt: AT },
    ])
    const { conversationId, branchId, answerId: messageId } = turn
    expect(await given().run(user, turn.runId)).toMatchObject({ conversationId, branchId, messageId, lastSeq: 0 })
    expect(await given().run(user, turn.runId)).toMatchObject({ status: 'running', model: 'm', finishedAt: null })
    await given().finish(turn)
    expect(await given().branches(turn.conversationId)).toEqual([
      { id: turn.branchId, name: 'Main', leaf_id: turn.answerId },
    ])
  })

  test('goes on at the end of the active branch', async () => {
    const user = await given().user()
    const first = await given().answered(user)
    const second = await given().begun(user, { in: first.conversationId, at: after(5000) })
    expect(second.branchId).toBe(first.branchId)
    expect(second.context).toMatchObject([
      { role: 'user', content: 'question' },
      { role: 'assistant', content: 'answer' },
    ])
    const { items } = await given().path(user, first.conversationId)
    expect(items.map(({ id }) => id)).toEqual([first.questionId, first.answerId, second.questionId, second.answerId])
    expect(items.map(({ depth }) => depth)).toEqual([0, 1, 2, 3])
    expect(await given().conversation(user, first.conversationId)).toMatchObject({ rev: 2, updatedAt: after(5000) })
    await given().finish(second)
    expect(await given().branches(first.conversationId)).toMatchObject([{ leaf_id: second.answerId }])
  })

  test('opens a branch below a parent that is no leaf, and goes on with a branch at its leaf', async () => {
    const user = await given().user()
    const first = await given().answered(user)
    const place = { in: first.conversationId, parentId: first.answerId }
    const main = await given().answered(user, place)
    const fork = await given().answered(user, { ...place, messages: [message('instead')] })
    expect(main.branchId).toBe(first.branchId)
    expect(fork.branchId).not.toBe(main.branchId)
    expect(await given().conversation(user, first.conversationId)).toMatchObject({ activeBranchId: fork.branchId })
    const back = await given().begun(user, { in: first.conversationId, parentId: main.answerId })
    expect(back.branchId).toBe(main.branchId)
    expect(await given().conversation(user, first.conversationId)).toMatchObject({ activeLeafId: back.answerId })
    await given().finish(back)
    expect(await given().branches(first.conversationId)).toEqual([
      { id: main.branchId, name: 'Main', leaf_id: back.answerId },
      { id: fork.branchId, name: 'Branch 2', leaf_id: fork.answerId },
    ])
  })

  test('makes an answer again as a sibling, on a branch with the name it is given', async () => {
    const user = await given().user()
    const first = await given().answered(user)
    const place = { in: first.conversationId, parentId: first.questionId, messages: [] }
    const again = await given().begun(user, { ...place, branchName: 'Second try' })
    expect(again.context).toMatchObject([{ role: 'user', content: 'question' }])
    expect(await given().message(user, again.answerId)).toMatchObject({ parentId: first.questionId, depth: 1 })
    await given().finish(again)
    expect(await given().branches(first.conversationId)).toMatchObject([
      { name: 'Main', leaf_id: first.answerId },
      { name: 'Second try', leaf_id: again.answerId },
    ])
  })

  test('starts over with a new root when the parent is null', async () => {
    const user = await given().user()
    const first = await given().answered(user)
    const root = await given().begun(user, { in: first.conversationId, parentId: null })
    expect(root.context).toEqual([])
    expect(root.branchId).not.toBe(first.branchId)
    expect(await given().message(user, root.questionId)).toMatchObject({ parentId: null, depth: 0 })
  })

  test('finds nothing of another user, another tenant or another conversation, and writes nothing there', async () => {
    const [user, other] = [await given().user(), await given().user()]
    const [mine, elsewhere] = [await given().answered(user), await given().answered(user)]
    const id = mine.conversationId
    const refusals: [Owner, BeginTurn][] = [
      [other, newTurn({ in: id })],
      [other, newTurn({ in: id, parentId: mine.answerId })],
      [{ ...user, tenantId: newId() }, newTurn({ in: id })],
      [user, newTurn({ in: newId() })],
      [user, newTurn({ in: id, parentId: newId() })],
      [user, newTurn({ in: id, parentId: elsewhere.answerId })],
    ]
    const before = await given().conversation(user, id)
    for (const [owner, turn] of refusals) {
      expect(await begin(owner, turn)).toEqual({ outcome: 'not_found' })
      expect(await given().store.runs.find(owner, turn.runId)).toBeUndefined()
    }
    expect(await given().conversation(user, id)).toEqual(before)
    expect(await given().count('messages', 'conversation_id', id)).toBe(2)
  })

  test('is busy below an answer that is being written, and free again when it is done', async () => {
    const user = await given().user()
    const first = await given().begun(user)
    const id = first.conversationId
    expect(await begin(user, newTurn({ in: id }))).toEqual({ outcome: 'busy' })
    expect(await begin(user, newTurn({ in: id, parentId: first.answerId }))).toEqual({ outcome: 'busy' })
    expect((await given().path(user, id)).total).toBe(2)
    expect(await given().conversation(user, id)).toMatchObject({ rev: 1 })
    const again = await given().begun(user, { in: id, parentId: first.questionId, messages: [] })
    await given().finish(first)
    await given().finish(again)
    expect(await begin(user, newTurn({ in: id }))).toMatchObject({ outcome: 'begun' })
  })

  test('lets a model be chosen by the caller, then the conversation, then the default', async () => {
    const user = await given().user()
    const { conversationId, model } = await given().answered(user)
    expect(model).toBe('default-model')
    const go = async (chosen?: string) =>
      (await given().answered(user, { in: conversationId, model: chosen, defaultModel: 'newer-default' })).model
    expect(await go()).toBe('default-model')
    expect(await go('chosen')).toBe('chosen')
    expect(await go()).toBe('chosen')
    expect(await given().conversation(user, conversationId)).toMatchObject({ model: 'chosen' })
    await given().store.conversations.update(user, conversationId, { model: null }, { at: AT })
    expect(await go()).toBe('newer-default')
  })

  test('gives back at most as much of the path as is asked for: its end', async () => {
    const user = await given().user()
    const messages = ['one', 'two', 'three'].map((text) => message(text))
    const { conversationId } = await given().answered(user, { messages })
    const { context } = await given().answered(user, { in: conversationId, maxContext: 3 })
    expect(context.map(({ content }) => content)).toEqual(['two', 'three', 'answer'])
  })

  test('keeps what text cannot hold, in every message of the list', async () => {
    const user = await given().user()
    const extra = { tool_calls: [{ id: 'c1', function: { name: 'f', arguments: '{"a":10.50}' } }], n: '10.5' }
    const messages = [
      message('q'),
      { ...message('', 'assistant'), extra },
      { ...message('r', 'tool'), extra: { a: 1 } },
    ]
    const { conversationId } = await given().answered(user, { messages })
    const { context } = await given().begun(user, { in: conversationId })
    expect(context.slice(0, 3).map(({ role, content, extra }) => ({ role, content, extra }))).toEqual([
      { role: 'user', content: 'q', extra: null },
      { role: 'assistant', content: '', extra },
      { role: 'tool', content: 'r', extra: { a: 1 } },
    ])
  })

  test('stores text with NUL characters and half surrogate pairs as Postgres can', async () => {
    const user = await given().user()
    const hostile = { ...message('a\0b\ud83dc'), extra: { 'k\0': 'x\0y\udc00z', deep: [{ s: '\ud83d\ude00\ud83d' }] } }
    const { questionId } = await given().begun(user, { messages: [hostile], title: 't\0', systemPrompt: 's\0' })
    expect((await given().message(user, questionId)).content).toBe('a\ufffdb\ufffdc')
    expect((await given().message(user, questionId)).extra).toEqual({
      'k\ufffd': 'x\ufffdy\ufffdz',
      deep: [{ s: '\ud83d\ude00\ufffd' }],
    })
  })

  const keyed = (key = newId()) => ({ idempotency: { key, fingerprint: 'f' } })

  test('answers a repeated idempotency key with the run it made, whatever has happened since', async () => {
    const user = await given().user()
    const key = keyed()
    const first = await given().begun(user, key)
    const repeated = { outcome: 'repeated', run: await given().run(user, first.runId) } as const
    expect(repeated.run).toMatchObject({ fingerprint: 'f', messageId: first.answerId })
    expect(await begin(user, newTurn(key))).toEqual(repeated)
    expect(await begin(user, newTurn({ in: first.conversationId, ...key }))).toEqual(repeated)
    await given().finish(first)
    expect(await begin(user, newTurn({ in: first.conversationId, ...key }))).toMatchObject({
      outcome: 'repeated',
      run: { id: first.runId, status: 'completed' },
    })
    expect((await given().store.conversations.list(user, { page: 1, limit: 10 })).total).toBe(1)
    expect(await given().conversation(user, first.conversationId)).toMatchObject({ rev: 1 })
  })

  test('keeps the keys of users apart', async () => {
    const key = keyed()
    const first = await given().begun(await given().user(), key)
    const second = await given().begun(await given().user(), key)
    expect(second.runId).not.toBe(first.runId)
  })

  test.each(['a new conversation', 'an old one'])(
    'begins once when a key comes twenty times at once in %s',
    async (place) => {
      const user = await given().user()
      const known = place === 'an old one' ? { in: (await given().answered(user)).conversationId } : {}
      const key = keyed()
      const results = await atOnce(20, () => begin(user, newTurn({ ...known, ...key })))
      const outcomes = results.map(({ outcome }) => outcome).sort()
      expect(outcomes).toEqual(['begun', ...Array.from({ length: 19 }, () => 'repeated' as const)])
      const before = 'in' in known ? 1 : 0
      const { items, total } = await given().store.runs.list(user, { active: false, page: 1, limit: 10 })
      expect(total).toBe(before + 1)
      const { conversationId } = items[0] ?? {}
      expect((await given().path(user, String(conversationId))).total).toBe(before * 2 + 2)
      expect((await given().store.conversations.list(user, { page: 1, limit: 10 })).total).toBe(1)
    },
  )

  test('goes down a path of 2,000 messages', async () => {
    const user = await given().user()
    const messages = Array.from({ length: 1999 }, (_, i) => message(`m${i}`, i % 2 ? 'assistant' : 'user'))
    const { conversationId } = await given().answered(user, { messages })
    const next = await given().begun(user, { in: conversationId, maxContext: 10_000 })
    expect(next.context.map(({ content }) => content)).toEqual([...messages.map(({ content }) => content), 'answer'])
    expect(await given().message(user, next.answerId)).toMatchObject({ depth: 2001 })
    const { items, total } = await given().path(user, conversationId, { page: 20, limit: 100 })
    expect(total).toBe(2002)
    expect(items.map(({ depth }) => depth)).toEqual(Array.from({ length: 100 }, (_, i) => i + 2))
  })
}
