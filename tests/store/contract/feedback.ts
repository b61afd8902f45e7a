import { expect, test } from 'bun:test'
import { newId } from '../../../src/lib/ids'
import type { NewFeedback, Owner } from '../../../src/store/port'
import { AT, after, atOnce, type Given, newUser, type Turn } from './given'

export function feedbackContract(given: () => Given): void {
  const feedback = () => given().store.feedback
  const opinion = ({ conversationId, answerId }: Turn, more: Partial<NewFeedback> = {}): NewFeedback => ({
    id: newId(),
    conversationId,
    messageId: answerId,
    kind: 'thumbs_up',
    rating: 5,
    tags: ['clear'],
    comment: 'Good',
    metadata: { from: 'web' },
    snapshot: { question: 'question', answer: 'answer' },
    model: 'm1',
    at: AT,
    ...more,
  })
  const put = async (owner: Owner, wanted: NewFeedback) => {
    const made = await feedback().put(owner, wanted)
    if (!made) throw new Error('There is no such message')
    return made
  }

  test('keeps what a person thinks of a message', async () => {
    const user = await given().user()
    const turn = await given().answered(user)
    const { at, ...wanted } = opinion(turn)
    const kept = await put(user, { ...wanted, at })
    expect(kept).toEqual({ ...wanted, createdAt: AT, updatedAt: AT })
    expect(await feedback().find(user, turn.answerId)).toEqual(kept)
  })

  test('replaces an older opinion as a whole, but not its id and when it was first given', async () => {
    const user = await given().user()
    const turn = await given().answered(user)
    const first = await put(user, opinion(turn))
    const other = { kind: null, rating: null, tags: [], comment: 'Bad', metadata: null, model: 'm2' }
    const second = await put(user, opinion(turn, { ...other, snapshot: { now: true }, at: after(5) }))
    expect(second).toEqual({ ...first, ...other, snapshot: { now: true }, updatedAt: after(5) })
    expect(await given().count('feedback', 'message_id', turn.answerId)).toBe(1)
  })

  test('keeps one opinion of many given at once', async () => {
    const user = await given().user()
    const turn = await given().answered(user)
    const made = await atOnce(20, (i) => put(user, opinion(turn, { comment: `c${i}` })))
    expect(new Set(made.map(({ id }) => id)).size).toBe(1)
    expect(await given().count('feedback', 'message_id', turn.answerId)).toBe(1)
  })

  test('keeps text and data that a database cannot hold as well as it can', async () => {
    const user = await given().user()
    const turn = await given().answered(user)
    const kept = await put(user, opinion(turn, { metadata: { 'a\0': ['\ud800'] }, snapshot: { answer: '\0' } }))
    expect(kept).toMatchObject({ metadata: { 'a\ufffd': ['\ufffd'] }, snapshot: { answer: '\ufffd' } })
  })

  test('lists the opinions of a conversation, the one changed last first, a page at a time', async () => {
    const user = await given().user()
    const first = await given().answered(user)
    const second = await given().answered(user, { in: first.conversationId })
    const elsewhere = await given().answered(user)
    await put(user, opinion(elsewhere))
    await put(user, opinion(first, { at: after(1) }))
    await put(user, opinion(second, { at: after(2) }))
    await put(user, opinion(first, { at: after(3) }))
    const list = async (page: number, limit: number) => {
      const { items, total } = await feedback().list(user, first.conversationId, { page, limit })
      return { ids: items.map(({ messageId }) => messageId), total }
    }
    expect(await list(1, 10)).toEqual({ ids: [first.answerId, second.answerId], total: 2 })
    expect(await list(2, 1)).toEqual({ ids: [second.answerId], total: 2 })
    expect(await list(3, 1)).toEqual({ ids: [], total: 2 })
  })

  test('takes an opinion back, once', async () => {
    const user = await given().user()
    const turn = await given().answered(user)
    await put(user, opinion(turn))
    expect(await feedback().remove(user, turn.answerId)).toBe(true)
    expect(await feedback().remove(user, turn.answerId)).toBe(false)
    expect(await feedback().find(user, turn.answerId)).toBeUndefined()
  })

  test('knows no message that is elsewhere, gone or nobody’s', async () => {
    const user = await given().user()
    const [one, other] = [await given().answered(user), await given().answered(user)]
    expect(await feedback().put(user, opinion(one, { conversationId: other.conversationId }))).toBeUndefined()
    expect(await feedback().put(user, opinion(one, { messageId: newId() }))).toBeUndefined()
    await put(user, opinion(one))
    await given().store.conversations.remove(user, one.conversationId)
    expect(await feedback().find(user, one.answerId)).toBeUndefined()
    expect(await feedback().put(user, opinion(one))).toBeUndefined()
  })

  test('shows nobody else anything', async () => {
    const [user, stranger] = [await given().user(), await given().user()]
    const turn = await given().answered(user)
    const kept = await put(user, opinion(turn))
    for (const other of [stranger, { ...user, tenantId: newId() }]) {
      expect(await feedback().put(other, opinion(turn, { comment: 'Mine now' }))).toBeUndefined()
      expect(await feedback().find(other, turn.answerId)).toBeUndefined()
      const page = { page: 1, limit: 10 }
      expect(await feedback().list(other, turn.conversationId, page)).toEqual({ items: [], total: 0 })
      expect(await feedback().remove(other, turn.answerId)).toBe(false)
    }
    expect(await feedback().find(user, turn.answerId)).toEqual(kept)
  })

  test('says by model how the answers of a tenant were liked, for a time', async () => {
    const tenantId = newId()
    await given().sql(`insert into tenants (id, name, created_at) values ($1, 'other', now())`, [tenantId])
    const make = () => given().store.accounts.create(newUser({ tenantId }))
    const [ann, bob, elsewhere] = [await make(), await make(), await given().user()]
    const say = async (owner: Owner, more: Partial<NewFeedback>) =>
      put(owner, opinion(await given().answered(owner), more))
    await say(ann, { model: 'a', kind: 'thumbs_up', rating: 5 })
    await say(bob, { model: 'a', kind: 'thumbs_down', rating: 2, at: after(10) })
    await say(bob, { model: 'a', kind: 'flag', rating: null, at: after(20) })
    await say(ann, { model: 'b', kind: null, rating: null })
    await say(ann, { model: null, kind: 'thumbs_up', rating: null })
    await say(ann, { model: 'late', at: after(100) })
    await say(elsewhere, { model: 'a' })
    const none = { total: 1, thumbsUp: 0, thumbsDown: 0, flags: 0, ratings: 0, meanRating: null }
    expect(await feedback().byModel(tenantId, { from: AT, to: after(100) })).toEqual([
      { model: 'a', total: 3, thumbsUp: 1, thumbsDown: 1, flags: 1, ratings: 2, meanRating: 3.5 },
      { ...none, model: 'b' },
      { ...none, model: null, thumbsUp: 1 },
    ])
    expect(await feedback().byModel(tenantId, { from: after(10), to: after(20) })).toMatchObject([{ thumbsDown: 1 }])
    expect(await feedback().byModel(newId(), { from: AT, to: after(100) })).toEqual([])
  })
}
