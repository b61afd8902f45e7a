import { expect, test } from 'bun:test'
import type { Owner, SyncCursor } from '../../../src/store/port'
import { until } from '../../support/servers'
import { Device, truth } from '../device'
import { after, type Given, message } from './given'

export function syncContract(given: () => Given): void {
  const changes = async (owner: Owner, cursor?: SyncCursor, limit = 100) => {
    const page = await given().store.sync.changes(owner, { cursor, limit })
    if (page === 'reset') throw new Error('The feed began anew')
    return page
  }
  const upToDate = async (device: Device, owner: Owner, limit = 100) => {
    const pages = await device.catchUp(limit)
    expect(device.state()).toEqual(await truth(given(), owner))
    return pages
  }

  test('tells everything first, then only what changed', async () => {
    const user = await given().user()
    const first = await given().answered(user)
    const second = await given().answered(user)
    const all = await changes(user)
    expect(all).toMatchObject({ deletions: [], more: false })
    expect(all.conversations).toEqual([
      await given().conversation(user, first.conversationId),
      await given().conversation(user, second.conversationId),
    ])
    const paths = [first, second].map(async ({ conversationId: id }) => (await given().path(user, id)).items)
    const messages = (await Promise.all(paths)).flat().map(({ siblings, ...row }) => row)
    expect(all.messages).toEqual(messages)
    expect(all.runs).toEqual([await given().run(user, first.runId), await given().run(user, second.runId)])

    // A transaction of anybody on the server, in whatever database, holds the cursor back: then some comes once more.
    let nothing = all
    await until(async () => {
      nothing = await changes(user, nothing.cursor)
      return nothing.conversations.length + nothing.messages.length + nothing.runs.length === 0
    })
    expect(nothing).toMatchObject({ deletions: [], more: false })
    const third = await given().begun(user, { in: first.conversationId })
    const more = await changes(user, nothing.cursor)
    expect(more.conversations.map(({ id }) => id)).toEqual([first.conversationId])
    expect(more.messages.map(({ id, status }) => [id, status])).toEqual([
      [third.questionId, 'complete'],
      [third.answerId, 'streaming'],
    ])
    expect(more.runs).toMatchObject([{ id: third.runId, status: 'running' }])
  })

  test('tells of finished answers, new names and answers whose server died', async () => {
    const user = await given().user()
    const device = new Device(given().store, user)
    const turn = await given().begun(user)
    const lost = await given().begun(user)
    await upToDate(device, user)
    await given().finish(turn, 'done')
    await upToDate(device, user)
    await given().store.conversations.update(user, turn.conversationId, { title: 'New' }, { at: after(5) })
    await upToDate(device, user)
    await given().store.runs.interruptOrphans(1, after(5))
    await upToDate(device, user)
    expect(device.runs.get(lost.runId)?.status).toBe('interrupted')
  })

  test('tells of what is gone to those who may have it', async () => {
    const user = await given().user()
    const device = new Device(given().store, user)
    const [gone, kept] = [await given().answered(user), await given().answered(user)]
    const reply = await given().answered(user, { in: kept.conversationId })
    await upToDate(device, user)
    await given().store.conversations.remove(user, gone.conversationId, { at: after(5) })
    await given().store.messages.remove(user, reply.questionId, { at: after(5) })
    await upToDate(device, user)
    expect(device.conversations.size).toBe(1)
    expect(device.messages.size).toBe(2)
    const fresh = await changes(user)
    expect(fresh.deletions).toEqual([])
    expect(fresh.conversations).toHaveLength(1)
  })

  test('comes in pages of any size, which together are the same', async () => {
    const user = await given().user()
    for (let i = 0; i < 4; i++) {
      const { conversationId } = await given().answered(user, { messages: [message(`one ${i}`)] })
      await given().answered(user, { in: conversationId })
    }
    const { conversationId: gone } = await given().answered(user)
    const [{ cursor }, whole] = [await changes(user), await truth(given(), user)]
    expect(whole.messages).toHaveLength(18)
    for (const limit of [1, 2, 3, 7, 23, 100]) {
      const device = new Device(given().store, user)
      expect(await upToDate(device, user, limit)).toBeGreaterThanOrEqual(Math.ceil(23 / limit))
    }
    await given().store.conversations.remove(user, gone)
    const page = await changes(user, cursor, 1)
    expect(page.deletions).toMatchObject([{ kind: 'conversation', id: gone, conversationId: gone }])
  })

  test('tells each what is theirs', async () => {
    const [owner, other] = [await given().user(), await given().user()]
    const { conversationId } = await given().answered(owner)
    const { cursor } = await changes(owner)
    await given().store.conversations.remove(owner, conversationId)
    await given().answered(owner)
    expect(await changes(other)).toMatchObject({ conversations: [], messages: [], runs: [], deletions: [] })
    expect(await changes(other, cursor)).toMatchObject({ conversations: [], messages: [], runs: [], deletions: [] })
  })

  test('begins anew for a cursor from the time after a restored backup', async () => {
    const user = await given().user()
    const [row] = await given().sql<{ next: string }>('select pg_snapshot_xmax(pg_current_snapshot())::text as next')
    const beyond = String(BigInt(row?.next ?? 0) + 1000n)
    const ask = (cursor: SyncCursor) => given().store.sync.changes(user, { cursor, limit: 10 })
    expect(await ask({ from: beyond, next: beyond, after: null })).toBe('reset')
    expect(await ask({ from: '1', next: beyond, after: { kind: 'message', key: null } })).toBe('reset')
    expect(await ask({ from: '1', next: '1', after: null })).toMatchObject({ more: false })
  })
}
