import { expect, test } from 'bun:test'
import { newId } from '../../../src/lib/ids'
import type { Branch, Owner, User, WriteTerms, Written } from '../../../src/store/port'
import { brokenTrees } from '../soundness'
import { AT, after, type Given, message, type Turn } from './given'

/** A question with two answers: on "Main" and, shown, on "Branch 2". */
async function forked(given: Given, user: Owner) {
  const first = await given.answered(user)
  const id = first.conversationId
  const second = await given.answered(user, { in: id, parentId: first.questionId, messages: [], at: after(10) })
  return { id, first, second, main: first.branchId, other: second.branchId, question: first.questionId }
}

/** What a write that must have been done made. */
export function done<T>(written: Written<T> | undefined): T {
  if (written?.outcome !== 'done') throw new Error(`The write was not done: ${written?.outcome}`)
  return written.value
}

/** Why a write was refused. (`rejects` stops the event loop, and with it the thread of the embedded database.) */
const refused = (write: Promise<unknown>) =>
  write.then(
    () => undefined,
    (error) => error,
  )

export function branchesContract(given: () => Given): void {
  const branches = () => given().store.branches
  const list = async (user: User, id: string): Promise<Branch[]> =>
    (await branches().list(user, id, { page: 1, limit: 100 }))?.items ?? []
  const contents = async (user: User, id: string, leafId?: string) =>
    (await given().path(user, id, leafId ? { leafId } : {})).items.map(({ content }) => content)
  const more = (user: User, turn: Turn, text: string, at = AT) =>
    given().answered(user, { in: turn.conversationId, parentId: turn.answerId, messages: [message(text)], at })

  test('lists the ends of a conversation in pages, in the order of their making', async () => {
    const user = await given().user()
    const { id, first, second, question } = await forked(given(), user)
    const main = {
      id: first.branchId,
      conversationId: id,
      name: 'Main',
      parentMessageId: null,
      leafId: first.answerId,
      messageCount: 2,
      preview: 'answer',
      active: false,
      createdAt: AT,
      viewedAt: AT,
    }
    const other = {
      ...main,
      id: second.branchId,
      name: 'Branch 2',
      parentMessageId: question,
      leafId: second.answerId,
      active: true,
      createdAt: after(10),
      viewedAt: after(10),
    }
    expect(await branches().list(user, id, { page: 1, limit: 10 })).toEqual({ items: [main, other], total: 2 })
    expect(await branches().list(user, id, { page: 2, limit: 1 })).toEqual({ items: [other], total: 2 })
    expect(await branches().list(user, id, { page: 3, limit: 1 })).toEqual({ items: [], total: 2 })
  })

  test('shows the beginning of a long last message, by whole characters', async () => {
    const user = await given().user()
    const turn = await given().begun(user)
    await given().finish(turn, '\u{1F600}'.repeat(100))
    expect((await list(user, turn.conversationId))[0]?.preview).toBe('\u{1F600}'.repeat(80))
  })

  test('begins a branch at any message, and what is said next is said there', async () => {
    const user = await given().user()
    const { id, question } = await forked(given(), user)
    const made = { id: newId(), parentMessageId: question, name: 'Third' }
    const written = await branches().create(user, id, made, { rev: 2, at: after(20) })
    const branch = {
      id: made.id,
      conversationId: id,
      name: 'Third',
      parentMessageId: question,
      leafId: question,
      messageCount: 1,
      preview: 'question',
      active: true,
      createdAt: after(20),
      viewedAt: after(20),
    }
    const state = { rev: 3, activeLeafId: question, activeBranchId: made.id, updatedAt: after(20) }
    expect(written).toMatchObject({ outcome: 'done', value: branch, conversation: state })
    expect(await given().conversation(user, id)).toMatchObject(state)
    expect(await brokenTrees(given(), user.userId)).toEqual([])
    const { branchId } = await given().answered(user, { in: id, messages: [message('there')] })
    expect(branchId).toBe(made.id)
    expect(await contents(user, id)).toEqual(['question', 'there', 'answer'])
  })

  test('begins no second branch where one ends, and gives an unnamed one the next name', async () => {
    const user = await given().user()
    const { id, first, main, question } = await forked(given(), user)
    const again = { id: newId(), parentMessageId: first.answerId, name: 'Ignored' }
    expect(done(await branches().create(user, id, again, { at: after(20) }))).toMatchObject({
      id: main,
      name: 'Main',
      active: true,
      viewedAt: after(20),
    })
    const unnamed = { id: newId(), parentMessageId: question, name: undefined }
    expect(done(await branches().create(user, id, unnamed, { at: AT }))).toMatchObject({ name: 'Branch 3' })
    const second = (await list(user, id)).find(({ name }) => name === 'Branch 2')
    done(await branches().remove(user, id, String(second?.id), { at: AT }))
    const another = { id: newId(), parentMessageId: first.questionId, name: undefined }
    const { name } = done(await branches().create(user, id, another, { at: AT }))
    // The question has the unnamed branch already; what is made again comes after all there were.
    expect(name).toBe('Branch 3')
    await given().answered(user, { in: id, parentId: first.questionId, messages: [] })
    await given().answered(user, { in: id, parentId: first.questionId, messages: [] })
    expect((await list(user, id)).map((branch) => branch.name)).toEqual(['Main', 'Branch 3', 'Branch 4'])
  })

  test('makes the branch of one request once, also when it has gone on meanwhile', async () => {
    const user = await given().user()
    const { id, question } = await forked(given(), user)
    const made = { id: newId(), parentMessageId: question, name: undefined }
    done(await branches().create(user, id, made, { at: AT }))
    await given().answered(user, { in: id })
    const { rev } = await given().conversation(user, id)
    expect(done(await branches().create(user, id, made, { at: AT }))).toMatchObject({ id: made.id, messageCount: 3 })
    expect((await given().conversation(user, id)).rev).toBe(rev)
    expect(await list(user, id)).toHaveLength(3)
  })

  test('knows a request that comes again before it looks at the state that was expected', async () => {
    const user = await given().user()
    const { id, question, main, other } = await forked(given(), user)
    const before = async () => ({ rev: (await given().conversation(user, id)).rev, at: AT })
    const twice = async <T>(terms: WriteTerms, write: (terms: WriteTerms) => Promise<Written<T> | undefined>) => {
      const first = done(await write(terms))
      const { rev } = await given().conversation(user, id)
      expect(rev).toBe(Number(terms.rev) + 1)
      expect(done(await write(terms))).toEqual(first)
      expect((await given().conversation(user, id)).rev).toBe(rev)
    }
    const made = { id: newId(), parentMessageId: question, name: 'Aside', repeatable: true }
    await twice(await before(), (terms) => branches().create(user, id, made, terms))
    const { leafId = '' } = (await list(user, id)).find((branch) => branch.id === other) ?? {}
    const there = { id: newId(), parentMessageId: String(leafId), name: undefined, repeatable: true }
    await twice(await before(), (terms) => branches().create(user, id, there, terms))
    await twice(await before(), (terms) => branches().merge(user, id, { id: other, onto: main, key: 'k' }, terms))
    // All that is in it is on the other one already.
    await twice(await before(), (terms) => branches().merge(user, id, { id: made.id, onto: other, key: 'l' }, terms))
    const stale = { rev: 1, at: AT }
    expect(await branches().create(user, id, { ...made, id: newId() }, stale)).toMatchObject({ outcome: 'stale' })
    expect(await branches().merge(user, id, { id: other, onto: main, key: 'm' }, stale)).toMatchObject({
      outcome: 'stale',
    })
  })

  test('begins nothing at an answer that is still being written', async () => {
    const user = await given().user()
    const { conversationId: id, answerId } = await given().begun(user)
    const made = { id: newId(), parentMessageId: answerId, name: undefined }
    expect(await refused(branches().create(user, id, made, { at: AT }))).toMatchObject({ code: 'CONFLICT' })
    expect(await given().conversation(user, id)).toMatchObject({ rev: 1 })
  })

  test('shows a branch where it ends, and remembers when', async () => {
    const user = await given().user()
    const { id, first, main } = await forked(given(), user)
    expect(done(await branches().activate(user, id, main, { at: after(30) }))).toMatchObject({
      id: main,
      active: true,
      viewedAt: after(30),
    })
    expect(await given().conversation(user, id)).toMatchObject({
      activeLeafId: first.answerId,
      activeBranchId: main,
      rev: 3,
      updatedAt: after(30),
    })
    expect((await list(user, id)).map(({ active }) => active)).toEqual([true, false])
  })

  test('renames a branch', async () => {
    const user = await given().user()
    const { id, main } = await forked(given(), user)
    const change = { id: main, name: 'First' }
    expect(done(await branches().rename(user, id, change, { at: AT }))).toMatchObject({ id: main, name: 'First' })
    expect((await list(user, id)).map(({ name }) => name)).toEqual(['First', 'Branch 2'])
    expect(await given().conversation(user, id)).toMatchObject({ rev: 3 })
  })

  test('refuses every write to an older state and shows the current one', async () => {
    const user = await given().user()
    const { id, main, other, question } = await forked(given(), user)
    const current = await given().conversation(user, id)
    const old = { rev: 1, at: AT }
    const stale = { outcome: 'stale', conversation: current } as const
    const made = { id: newId(), parentMessageId: question, name: undefined }
    expect(await branches().create(user, id, made, old)).toEqual(stale)
    expect(await branches().activate(user, id, main, old)).toEqual(stale)
    expect(await branches().rename(user, id, { id: main, name: 'x' }, old)).toEqual(stale)
    expect(await branches().remove(user, id, main, old)).toEqual(stale)
    expect(await branches().merge(user, id, { id: main, onto: other }, old)).toEqual(stale)
    expect(await given().conversation(user, id)).toEqual(current)
    expect(await list(user, id)).toHaveLength(2)
  })

  test('removes what only this branch has and leaves word of it', async () => {
    const user = await given().user()
    const { id, second, other, main } = await forked(given(), user)
    const third = await more(user, second, 'more')
    const gone = done(await branches().remove(user, id, other, { at: after(40) }))
    expect(gone.sort()).toEqual([second.answerId, third.questionId, third.answerId].sort())
    expect(await contents(user, id)).toEqual(['question', 'answer'])
    expect(await given().conversation(user, id)).toMatchObject({ activeBranchId: main, rev: 4 })
    expect((await list(user, id)).map((branch) => [branch.id, branch.viewedAt])).toEqual([[main, after(40)]])
    const words = await given().sql('select kind, id, conversation_id from deletions where user_id = $1', [user.userId])
    expect(words.map(({ id }) => id).sort()).toEqual(gone.sort())
    expect(words[0]).toMatchObject({ kind: 'message', conversation_id: id })
    expect(await brokenTrees(given(), user.userId)).toEqual([])
  })

  test('shows the branch viewed last when the shown one is removed, and the same when another is', async () => {
    const user = await given().user()
    const { id, question, main, other } = await forked(given(), user)
    const third = await given().answered(user, { in: id, parentId: question, messages: [], at: after(20) })
    await branches().activate(user, id, main, { at: after(30) })
    await branches().activate(user, id, third.branchId, { at: after(40) })
    done(await branches().remove(user, id, third.branchId, { at: after(50) }))
    expect(await given().conversation(user, id)).toMatchObject({ activeBranchId: main })
    done(await branches().remove(user, id, other, { at: after(60) }))
    expect(await given().conversation(user, id)).toMatchObject({ activeBranchId: main })
    expect(await list(user, id)).toMatchObject([{ id: main, viewedAt: after(50) }])
  })

  test('keeps the messages that another branch ends at or goes through', async () => {
    const user = await given().user()
    const { id, first, question, main } = await forked(given(), user)
    const inner = { id: newId(), parentMessageId: question, name: undefined }
    done(await branches().create(user, id, inner, { at: AT }))
    expect(done(await branches().remove(user, id, inner.id, { at: AT }))).toEqual([])
    const end = { id: newId(), parentMessageId: first.answerId, name: undefined }
    const later = await more(user, first, 'later')
    done(await branches().create(user, id, end, { at: AT }))
    const gone = done(await branches().remove(user, id, main, { at: AT }))
    expect(gone.sort()).toEqual([later.questionId, later.answerId].sort())
    expect(await brokenTrees(given(), user.userId)).toEqual([])
  })

  test('does not remove the last branch', async () => {
    const user = await given().user()
    const { conversationId: id, branchId } = await given().answered(user)
    expect(await refused(branches().remove(user, id, branchId, { at: AT }))).toMatchObject({ code: 'CONFLICT' })
    expect(await contents(user, id)).toEqual(['question', 'answer'])
  })

  test('tells where two branches part and what each has beyond', async () => {
    const user = await given().user()
    const { id, first, second, main, other, question } = await forked(given(), user)
    const third = await more(user, second, 'more')
    const between = { a: main, b: other, page: 1, limit: 2 }
    const compared = await branches().compare(user, id, between)
    expect(compared).toMatchObject({ commonLength: 1, lastCommonId: question, a: { total: 1 }, b: { total: 3 } })
    expect(compared?.a.items.map((m) => m.id)).toEqual([first.answerId])
    expect(compared?.b.items.map((m) => m.id)).toEqual([second.answerId, third.questionId])
    const next = await branches().compare(user, id, { ...between, page: 2 })
    expect([next?.a.items, next?.b.items.map((m) => m.id)]).toEqual([[], [third.answerId]])
    const same = {
      commonLength: 2,
      lastCommonId: first.answerId,
      a: { items: [], total: 0 },
      b: { items: [], total: 0 },
    }
    expect(await branches().compare(user, id, { ...between, b: main })).toEqual(same)
  })

  test('compares a branch with one further down it, and those that have nothing in common', async () => {
    const user = await given().user()
    const { id, first, main, question } = await forked(given(), user)
    const inner = { id: newId(), parentMessageId: question, name: undefined }
    done(await branches().create(user, id, inner, { at: AT }))
    const pair = { a: inner.id, b: main, page: 1, limit: 10 }
    const compared = await branches().compare(user, id, pair)
    expect(compared).toMatchObject({
      commonLength: 1,
      lastCommonId: question,
      a: { items: [], total: 0 },
      b: { total: 1 },
    })
    expect(compared?.b.items.map((m) => m.id)).toEqual([first.answerId])
    const root = await given().answered(user, { in: id, parentId: null })
    expect(await branches().compare(user, id, { ...pair, b: root.branchId })).toMatchObject({
      commonLength: 0,
      lastCommonId: null,
      a: { total: 1 },
      b: { total: 2 },
    })
  })

  test('merges a branch onto another as copies, all of it or nothing', async () => {
    const user = await given().user()
    const { id, first, second, main, other } = await forked(given(), user)
    const extra = { content: [{ type: 'text', text: 'more' }] }
    const said = { ...message('more'), extra }
    const third = await given().begun(user, { in: id, messages: [said], model: 'm-1' })
    await given().finish(third, 'third', { usage: { total_tokens: 7 }, costNanos: 5n, extra: { reasoning: 'r' } })
    const merged = done(await branches().merge(user, id, { id: other, onto: main }, { rev: 3, at: after(50) }))
    expect(merged).toMatchObject({
      copied: 3,
      branch: { id: main, messageCount: 5, active: true, viewedAt: after(50) },
    })
    expect(await contents(user, id)).toEqual(['question', 'answer', 'answer', 'more', 'third'])
    const { items } = await given().path(user, id)
    expect(items[1]?.id).toBe(first.answerId)
    expect(items.slice(2).map((m) => m.id)).not.toContain(second.answerId)
    expect(items[3]).toMatchObject({ role: 'user', extra, status: 'complete', branchId: main, createdAt: after(50) })
    // What the original cost was paid once.
    expect(items[4]).toMatchObject({ model: 'm-1', extra: { reasoning: 'r' }, usage: null, costNanos: null })
    expect(await contents(user, id, third.answerId)).toEqual(['question', 'answer', 'more', 'third'])
    expect(await brokenTrees(given(), user.userId)).toEqual([])
    expect(await given().conversation(user, id)).toMatchObject({ rev: 4, activeBranchId: main })
  })

  test('merges once for one key', async () => {
    const user = await given().user()
    const { id, main, other } = await forked(given(), user)
    const merge = (key: string) => branches().merge(user, id, { id: other, onto: main, key }, { at: AT })
    const [one, again] = [done(await merge('k1')), done(await merge('k1'))]
    expect(again).toEqual(one)
    expect(await given().conversation(user, id)).toMatchObject({ rev: 3 })
    done(await merge('k2'))
    expect(await contents(user, id)).toEqual(['question', 'answer', 'answer', 'answer'])
  })

  test('merges what is common already by showing the other branch', async () => {
    const user = await given().user()
    const { id, main, first } = await forked(given(), user)
    const merged = done(await branches().merge(user, id, { id: main, onto: main }, { at: AT }))
    expect(merged).toMatchObject({ copied: 0, branch: { leafId: first.answerId, active: true } })
  })

  test('merges neither from nor onto an answer that is still being written', async () => {
    const user = await given().user()
    const { id, main, other } = await forked(given(), user)
    const running = await given().begun(user, { in: id })
    expect(running.branchId).toBe(other)
    for (const between of [
      { id: other, onto: main },
      { id: main, onto: other },
    ]) {
      expect(await refused(branches().merge(user, id, between, { at: AT }))).toMatchObject({ code: 'CONFLICT' })
    }
    await given().finish(running)
    expect((await given().path(user, id)).total).toBe(4)
  })

  test('shows nobody else anything, and no branch of another conversation', async () => {
    const user = await given().user()
    const { id, main, other, question } = await forked(given(), user)
    const elsewhere = await given().answered(user)
    const before = await list(user, id)
    const made = { id: newId(), parentMessageId: question, name: undefined }
    const page = { page: 1, limit: 10 }
    const terms = { at: AT }
    for (const owner of [await given().user(), { ...user, tenantId: newId() }]) {
      expect(await branches().list(owner, id, page)).toBeUndefined()
      expect(await branches().create(owner, id, made, terms)).toBeUndefined()
      expect(await branches().activate(owner, id, main, { rev: 1, at: AT })).toBeUndefined()
      expect(await branches().rename(owner, id, { id: main, name: 'x' }, terms)).toBeUndefined()
      expect(await branches().remove(owner, id, main, terms)).toBeUndefined()
      expect(await branches().compare(owner, id, { a: main, b: other, ...page })).toBeUndefined()
      expect(await branches().merge(owner, id, { id: main, onto: other }, terms)).toBeUndefined()
    }
    const wrong = elsewhere.branchId
    expect(await branches().create(user, id, { ...made, parentMessageId: elsewhere.answerId }, terms)).toBeUndefined()
    expect(await branches().activate(user, id, wrong, terms)).toBeUndefined()
    expect(await branches().rename(user, id, { id: wrong, name: 'x' }, terms)).toBeUndefined()
    expect(await branches().remove(user, id, wrong, terms)).toBeUndefined()
    expect(await branches().compare(user, id, { a: main, b: wrong, ...page })).toBeUndefined()
    expect(await branches().merge(user, id, { id: main, onto: wrong }, terms)).toBeUndefined()
    expect(await branches().merge(user, id, { id: wrong, onto: main }, terms)).toBeUndefined()
    expect(await list(user, id)).toEqual(before)
    expect(await given().conversation(user, id)).toMatchObject({ rev: 2 })
  })
}
