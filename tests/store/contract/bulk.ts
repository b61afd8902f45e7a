import { expect, test } from 'bun:test'
import { newId } from '../../../src/lib/ids'
import type { Owner } from '../../../src/store/port'
import { AT, after, atOnce, type Given } from './given'

export function bulkContract(given: () => Given): void {
  const bulk = () => given().store.bulk
  const made = async (owner: Owner, title: string, ms = 0) =>
    (await given().answered(owner, { title, at: after(ms) })).conversationId
  const titles = async (owner: Owner, selection: Parameters<ReturnType<typeof bulk>['select']>[1]) =>
    (await bulk().select(owner, selection)).map(({ title }) => title)

  test('selects by everything that is given, in the order of ids', async () => {
    const [user, other] = [await given().user(), await given().user()]
    const [one, two, three] = [await made(user, 'one'), await made(user, 'two', 10), await made(user, 'three', 20)]
    const foreign = await made(other, 'foreign')
    const at = after(30)
    await bulk().update(user, [{ id: two, tags: ['x', 'y'], archived: true, model: 'm' }], { allOrNothing: false, at })
    expect(await titles(user, {})).toEqual(['one', 'two', 'three'])
    expect(await titles(user, { ids: [three, foreign, one] })).toEqual(['one', 'three'])
    expect(await titles(user, { ids: [] })).toEqual([])
    expect(await titles(user, { archived: true })).toEqual(['two'])
    expect(await titles(user, { archived: false })).toEqual(['one', 'three'])
    expect(await titles(user, { model: 'm' })).toEqual(['two'])
    expect(await titles(user, { tag: 'y' })).toEqual(['two'])
    expect(await titles(user, { tag: '%' })).toEqual([])
    expect(await titles(user, { createdBefore: after(20) })).toEqual(['one', 'two'])
    expect(await titles(user, { createdBefore: after(20), archived: false })).toEqual(['one'])
    expect(await titles({ ...user, tenantId: newId() }, {})).toEqual([])
  })

  test('changes what is said and leaves the rest', async () => {
    const user = await given().user()
    const [id, untouched] = [await made(user, 'one'), await made(user, 'two')]
    const [before, second] = [await given().conversation(user, id), await given().conversation(user, untouched)]
    const options = { allOrNothing: false, at: after(50) }
    expect(await bulk().update(user, [{ id, pinned: true }], options)).toEqual(new Set([id]))
    const pinned = { ...before, pinnedAt: after(50), updatedAt: after(50), rev: before.rev + 1 }
    expect(await given().conversation(user, id)).toEqual(pinned)
    await bulk().update(user, [{ id, pinned: true, title: 'New', model: null }], { ...options, at: after(60) })
    const renamed = {
      title: 'New',
      titleSource: 'user' as const,
      model: null,
      updatedAt: after(60),
      rev: before.rev + 2,
    }
    expect(await given().conversation(user, id)).toEqual({ ...pinned, ...renamed })
    await bulk().update(user, [{ id, pinned: false, tags: [] }], { ...options, at: after(70) })
    expect(await given().conversation(user, id)).toMatchObject({ pinnedAt: null, tags: [], title: 'New' })
    expect(await given().conversation(user, untouched)).toEqual(second)
  })

  test('changes what is there, or nothing', async () => {
    const [user, other] = [await given().user(), await given().user()]
    const [mine, foreign] = [await made(user, 'mine'), await made(other, 'foreign')]
    const changes = [mine, foreign, newId()].map((id) => ({ id, title: 'Changed' }))
    expect(await bulk().update(user, changes, { allOrNothing: true, at: AT })).toEqual(new Set([mine]))
    expect((await given().conversation(user, mine)).title).toBe('mine')
    expect(await bulk().update(user, changes, { allOrNothing: false, at: AT })).toEqual(new Set([mine]))
    expect((await given().conversation(user, mine)).title).toBe('Changed')
    expect((await given().conversation(other, foreign)).title).toBe('foreign')
  })

  test('removes what is there once, and leaves word of it', async () => {
    const [user, other] = [await given().user(), await given().user()]
    const [mine, kept, foreign] = [await made(user, 'mine'), await made(user, 'kept'), await made(other, 'foreign')]
    const gone = await atOnce(3, () => bulk().remove(user, [mine, foreign, newId()], after(9)))
    expect(gone.flat()).toEqual([mine])
    expect(await titles(user, {})).toEqual(['kept'])
    expect(await titles(other, {})).toEqual(['foreign'])
    expect(
      await given().sql('select kind, id, conversation_id from deletions where user_id = $1', [user.userId]),
    ).toEqual([{ kind: 'conversation', id: mine, conversation_id: mine }])
    expect(await given().count('messages', 'conversation_id', mine)).toBe(0)
    expect(await bulk().remove(user, [], AT)).toEqual([])
    expect((await given().conversation(user, kept)).title).toBe('kept')
  })
}
