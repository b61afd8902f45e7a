import { expect, test } from 'bun:test'
import { newId } from '../../../src/lib/ids'
import type { ConversationFilter, ConversationPatch, NewConversation, User } from '../../../src/store/port'
import { AT, after, type Given, message } from './given'

const newConversation = (fields: Partial<NewConversation> = {}): NewConversation => ({
  id: newId(),
  title: 'Empty',
  titleSource: 'auto',
  model: null,
  systemPrompt: null,
  settings: null,
  metadata: null,
  tags: [],
  branchId: newId(),
  at: AT,
  ...fields,
})

/** Why it fails. Not `rejects`: it waits without letting the embedded database answer. */
const failure = (call: Promise<unknown>) =>
  call.then(
    () => undefined,
    (error: unknown) => error,
  )

/** Lists, trees and sums. @param keepsAll whether settings, tags, pins and deletions are kept, too. */
export function listingContract(given: () => Given, { keepsAll }: { keepsAll: boolean }): void {
  const conversations = () => given().store.conversations
  const titles = async (user: User, filter: ConversationFilter = {}, page = 1, limit = 10) => {
    const { items, total } = await conversations().list(user, { page, limit, ...filter })
    return { titles: items.map(({ title }) => title), total }
  }

  /** Three conversations: of one turn, of three messages that are answered, and of two branches. */
  const three = async (user: User) => {
    await given().answered(user, { title: 'One', model: 'm1', at: after(30) })
    await given().answered(user, {
      title: 'long tea',
      model: 'm2',
      at: after(10),
      messages: [message('a'), message('b'), message('c')],
    })
    const forked = await given().answered(user, { title: '100%_Tea\\', model: 'm1', at: after(20) })
    await given().answered(user, {
      in: forked.conversationId,
      parentId: forked.questionId,
      messages: [],
      model: 'm1',
      at: after(25),
    })
  }

  test.each<[string, ConversationFilter, string[]]>([
    ['nothing', {}, ['One', '100%_Tea\\', 'long tea']],
    ['their model', { model: 'm1' }, ['One', '100%_Tea\\']],
    ['a model nobody uses', { model: 'm' }, []],
    ['when they were made', { createdAfter: after(20) }, ['One', '100%_Tea\\']],
    ['before when they were made', { createdBefore: after(20) }, ['long tea']],
    ['a time between', { createdAfter: after(11), createdBefore: after(30) }, ['100%_Tea\\']],
    ['their branches', { hasBranches: true }, ['100%_Tea\\']],
    ['having no branches', { hasBranches: false }, ['One', 'long tea']],
    ['many messages', { minMessages: 3 }, ['100%_Tea\\', 'long tea']],
    ['more messages', { minMessages: 4 }, ['long tea']],
    ['few messages', { maxMessages: 2 }, ['One']],
    ['no messages', { maxMessages: 0 }, []],
    ['any number of messages', { minMessages: 0, maxMessages: 4 }, ['One', '100%_Tea\\', 'long tea']],
    ['a part of the title', { q: 'TEA' }, ['100%_Tea\\', 'long tea']],
    ['a percent sign', { q: '%' }, ['100%_Tea\\']],
    ['an underscore', { q: '_' }, ['100%_Tea\\']],
    ['a backslash', { q: 'tea\\' }, ['100%_Tea\\']],
    ['a quote', { q: "'" }, []],
    ['NUL', { q: '\0', model: '\0', tag: '\0' }, []],
    ['a tag', { tag: 'x' }, []],
    ['a pin', { pinned: true }, []],
    ['no pin', { pinned: false, archived: false, model: 'm2' }, ['long tea']],
    ['the archive', { archived: true }, []],
    ['title order', { sort: { by: 'title', descending: false } }, ['100%_Tea\\', 'long tea', 'One']],
    ['title order turned', { sort: { by: 'title', descending: true } }, ['One', 'long tea', '100%_Tea\\']],
    ['age', { sort: { by: 'createdAt', descending: false } }, ['long tea', '100%_Tea\\', 'One']],
    ['last change', { sort: { by: 'updatedAt', descending: true }, model: 'm1' }, ['One', '100%_Tea\\']],
  ])('lists by %s', async (_, filter, expected) => {
    const user = await given().user()
    await three(user)
    // The change that ends an answer is a second later than its beginning, for all alike; the last one first by id.
    const { titles: found, total } = await titles(user, filter)
    if (filter.sort && filter.sort.by !== 'updatedAt') expect(found).toEqual(expected)
    else expect(found.toSorted()).toEqual(expected.toSorted())
    expect(total).toBe(expected.length)
  })

  test('pages through what fits', async () => {
    const user = await given().user()
    await three(user)
    const sort = { by: 'title', descending: false } as const
    expect(await titles(user, { q: 'tea', sort }, 1, 1)).toEqual({ titles: ['100%_Tea\\'], total: 2 })
    expect(await titles(user, { q: 'tea', sort }, 2, 1)).toEqual({ titles: ['long tea'], total: 2 })
    expect(await titles(user, { q: 'tea', sort }, 3, 1)).toEqual({ titles: [], total: 2 })
  })

  test('counts messages and branches of what it lists', async () => {
    const user = await given().user()
    await three(user)
    const { items } = await conversations().list(user, { page: 1, limit: 10, minMessages: 1 })
    const counts = items.map(({ title, messageCount, branchCount }) => [title, messageCount, branchCount])
    expect(counts.toSorted()).toEqual([
      ['100%_Tea\\', 3, 2],
      ['One', 2, 1],
      ['long tea', 4, 1],
    ])
  })

  test('shows nobody else trees, sums and lists', async () => {
    const [user, other] = [await given().user(), await given().user()]
    const { conversationId: id } = await given().answered(user, { title: 'Mine' })
    for (const stranger of [other, { ...user, tenantId: newId() }]) {
      expect(await conversations().tree(stranger, id, { page: 1, limit: 10 })).toBeUndefined()
      expect(await conversations().stats(stranger, id)).toBeUndefined()
      expect(await titles(stranger, { q: 'Mine' })).toEqual({ titles: [], total: 0 })
    }
  })

  test('makes an empty conversation, which goes on in its branch Main', async () => {
    const user = await given().user()
    const made = await conversations().create(user, newConversation({ title: 'Plans', model: 'm1' }))
    expect(made).toMatchObject({ title: 'Plans', model: 'm1', activeLeafId: null, systemPrompt: null, tags: [] })
    expect(await given().conversation(user, made.id)).toEqual(made)
    expect((await given().path(user, made.id)).items).toEqual([])
    const turn = await given().answered(user, { in: made.id })
    expect(turn.branchId).toBe(String(made.activeBranchId))
    expect(await given().branches(made.id)).toMatchObject([{ name: 'Main', leaf_id: turn.answerId }])
    expect((await given().path(user, made.id)).items).toHaveLength(2)
  })

  test('shows the whole tree in pages, the oldest messages first', async () => {
    const user = await given().user()
    const first = await given().answered(user)
    const id = first.conversationId
    const again = await given().answered(user, { in: id, parentId: first.questionId, messages: [], at: after(10) })
    const root = await given().begun(user, { in: id, parentId: null, at: after(20) })
    const pages = await Promise.all([1, 2, 3, 4].map((page) => conversations().tree(user, id, { page, limit: 2 })))
    expect(pages.map((page) => page?.total)).toEqual([5, 5, 5, 5])
    const items = pages.flatMap((page) => page?.items ?? [])
    expect(items.map((m) => [m.id, m.parentId, m.depth, m.siblings])).toEqual([
      [first.questionId, null, 0, { index: 1, count: 2, prev: null, next: root.questionId }],
      [first.answerId, first.questionId, 1, { index: 1, count: 2, prev: null, next: again.answerId }],
      [again.answerId, first.questionId, 1, { index: 2, count: 2, prev: first.answerId, next: null }],
      [root.questionId, null, 0, { index: 2, count: 2, prev: first.questionId, next: null }],
      [root.answerId, root.questionId, 1, { index: 1, count: 1, prev: null, next: null }],
    ])
    const { items: path } = await given().path(user, id, { leafId: again.answerId })
    expect(items.filter(({ id }) => path.some((m) => m.id === id))).toEqual(path)
    expect(pages[0]?.conversation).toEqual(await given().conversation(user, id))
    expect(pages[0]?.branches).toMatchObject([
      {
        name: 'Main',
        parentMessageId: null,
        leafId: first.answerId,
        messageCount: 2,
        preview: 'answer',
        active: false,
      },
      { parentMessageId: first.questionId, leafId: again.answerId, messageCount: 2, preview: 'answer', active: false },
      { parentMessageId: null, leafId: root.answerId, messageCount: 2, preview: '', active: true },
    ])
  })

  test('adds up a conversation', async () => {
    const user = await given().user()
    const first = await given().begun(user, { model: 'm1' })
    const id = first.conversationId
    const usage = { prompt_tokens: 3, completion_tokens: 4, total_tokens: 8, details: { reasoning_tokens: 1 } }
    await given().finish(first, 'answer', { usage, costNanos: 10n })
    const again = { in: id, parentId: first.questionId, messages: [], at: after(10) }
    for (const [model, said] of [
      ['m2', { prompt_tokens: 1, completion_tokens: 'many', total_tokens: null }],
      ['m2', null],
    ] as const) {
      const turn = await given().begun(user, { ...again, model })
      await given().finish(turn, 'again', { usage: said, costNanos: said && 5n })
    }
    expect(await conversations().stats(user, id)).toEqual({
      messages: 4,
      branches: 3,
      answers: 3,
      promptTokens: 4,
      completionTokens: 4,
      totalTokens: 9,
      costNanos: 15n,
      models: [
        { model: 'm2', answers: 2 },
        { model: 'm1', answers: 1 },
      ],
      firstMessageAt: AT,
      lastMessageAt: after(10),
    })
  })

  if (!keepsAll) {
    test.each<ConversationPatch>([
      { pinned: true },
      { archived: false },
      { tags: [] },
      { settings: null },
      { metadata: {} },
    ])('refuses to keep %j, and says what would', async (patch) => {
      const user = await given().user()
      const { conversationId: id } = await given().answered(user)
      const before = await given().conversation(user, id)
      const refused = { code: 'NOT_SUPPORTED', message: expect.stringContaining('DATABASE_URL') }
      expect(await failure(conversations().update(user, id, patch, { at: AT }))).toMatchObject(refused)
      expect(await given().conversation(user, id)).toEqual(before)
    })
    return
  }

  test('keeps settings, metadata and tags as they are', async () => {
    const user = await given().user()
    const fields = { settings: { temperature: 0.5, stop: ['\0'] }, metadata: { 'a\0': [1, null] }, tags: ['b', 'a'] }
    const made = await conversations().create(user, newConversation({ ...fields, titleSource: 'user' }))
    const kept = {
      settings: { temperature: 0.5, stop: ['\uFFFD'] },
      metadata: { 'a\uFFFD': [1, null] },
      tags: ['b', 'a'],
    }
    expect(made).toMatchObject({ ...kept, titleSource: 'user', rev: 1, createdAt: AT, updatedAt: AT })
    const turn = await given().begun(user, { in: made.id })
    expect(turn.settings).toEqual(kept.settings)
    const none = { settings: null, metadata: null, tags: [] }
    const updated = await conversations().update(user, made.id, none, { at: AT })
    expect(updated?.conversation).toMatchObject(none)
    expect((await titles(user, { tag: 'b' })).total).toBe(0)
  })

  test('refuses an id that is taken, whoever has it', async () => {
    const [user, other] = [await given().user(), await given().user()]
    const { id } = await conversations().create(user, newConversation())
    for (const owner of [user, other]) {
      expect(await failure(conversations().create(owner, newConversation({ id })))).toMatchObject({ code: 'CONFLICT' })
    }
  })

  test('pins and archives, and remembers since when', async () => {
    const user = await given().user()
    const ids: string[] = []
    for (const title of ['a', 'b', 'c']) {
      ids.push(
        (await conversations().create(user, newConversation({ title, at: after(ids.length), tags: [title] }))).id,
      )
    }
    const [a = '', b = ''] = ids
    const change = async (id: string, patch: object, ms: number) =>
      (await conversations().update(user, id, patch, { at: after(ms) }))?.conversation
    expect(await change(a, { pinned: true }, 10)).toMatchObject({ pinnedAt: after(10), archivedAt: null, rev: 2 })
    expect(await change(a, { pinned: true, title: 'A' }, 11)).toMatchObject({
      pinnedAt: after(10),
      updatedAt: after(11),
    })
    expect(await change(b, { archived: true }, 12)).toMatchObject({ archivedAt: after(12), pinnedAt: null })
    await change(ids[2] ?? '', { title: 'C' }, 20)
    expect(await titles(user)).toEqual({ titles: ['A', 'C', 'b'], total: 3 })
    expect(await titles(user, { archived: false }, 1, 1)).toEqual({ titles: ['A'], total: 2 })
    expect((await titles(user, { archived: true })).titles).toEqual(['b'])
    expect((await titles(user, { pinned: false })).titles).toEqual(['C', 'b'])
    expect((await titles(user, { tag: 'a' })).titles).toEqual(['A'])
    const unpinned = { sort: { by: 'updatedAt', descending: true } } as const
    expect((await titles(user, unpinned)).titles).toEqual(['C', 'b', 'A'])
    expect(await change(a, { pinned: false }, 30)).toMatchObject({ pinnedAt: null })
    expect(await change(b, { archived: false }, 30)).toMatchObject({ archivedAt: null })
  })

  test('leaves word of what it removed, once', async () => {
    const user = await given().user()
    const { conversationId: id } = await given().answered(user)
    expect(await conversations().remove(await given().user(), id, { at: after(4) })).toBe(false)
    expect(await conversations().remove(user, id, { rev: 9, at: after(4) })).toBe(false)
    expect(await conversations().remove(user, id, { rev: 1, at: after(5) })).toBe(true)
    expect(await conversations().remove(user, id, { at: after(6) })).toBe(false)
    const rows = await given().sql('select user_id, kind, id, at from deletions where conversation_id = $1', [id])
    expect(rows).toEqual([{ user_id: user.userId, kind: 'conversation', id, at: after(5) }])
  })
}
