import { expect, test } from 'bun:test'
import { newId } from '../../../src/lib/ids'
import { AT, after, atOnce, type Given } from './given'

export function runsContract(given: () => Given): void {
  const runs = () => given().store.runs
  const checkpoint = (runId: string, seq: number, text: string) =>
    given().store.turns.checkpoint([{ runId, seq, text }])
  const pieces = (runId: string) => given().count('run_checkpoints', 'run_id', runId)
  /** Everything that others have left running, so that counting begins at zero. */
  const tidy = () => runs().interruptOrphans(0, AT)

  test('finishes an answer with its text, usage and cost', async () => {
    const user = await given().user()
    const turn = await given().begun(user)
    const usage = { prompt_tokens: 3, completion_tokens: 1, total_tokens: 4 }
    const extra = { reasoning_content: 'hm', price: '10.5' }
    const costNanos = 9_007_199_254_740_993n
    await checkpoint(turn.runId, 1, 'the be')
    await given().finish(turn, 'the beginning', { usage, extra, costNanos, finishReason: 'length' })
    expect(await given().message(user, turn.answerId)).toMatchObject({
      content: 'the beginning',
      status: 'complete',
      finishReason: 'length',
      usage,
      extra,
      costNanos,
      completedAt: after(1000),
    })
    const run = await given().run(user, turn.runId)
    expect(run).toMatchObject({ status: 'completed', lastSeq: 3, error: null, finishedAt: after(1000) })
    expect(await given().conversation(user, turn.conversationId)).toMatchObject({ updatedAt: after(1000) })
    expect(await pieces(turn.runId)).toBe(0)
  })

  test('changes nothing when it finishes twice, or once at twenty places', async () => {
    const user = await given().user()
    const turn = await given().begun(user)
    await atOnce(20, (i) => given().finish(turn, `answer ${i}`, { costNanos: BigInt(i) }))
    const before = await given().message(user, turn.answerId)
    expect(before.content).toBe(`answer ${before.costNanos}`)
    await given().finish(turn, 'too late')
    expect(await given().message(user, turn.answerId)).toEqual(before)
  })

  test('keeps why an answer failed and how far it came', async () => {
    const user = await given().user()
    const { runId, answerId } = await given().begun(user)
    const error = { code: 'UPSTREAM_ERROR', message: 'The provider broke off' }
    const answer = {
      content: 'half',
      extra: null,
      status: 'error',
      finishReason: null,
      usage: null,
      costNanos: 7n,
    } as const
    await given().store.turns.finish({ runId, status: 'failed', lastSeq: 9, error, answer, at: after(1) })
    expect(await given().run(user, runId)).toMatchObject({ status: 'failed', error, lastSeq: 9 })
    expect(await given().message(user, answerId)).toMatchObject({ content: 'half', status: 'error', costNanos: 7n })
  })

  test('finishes with NUL characters and half surrogate pairs anywhere', async () => {
    const user = await given().user()
    const turn = await given().begun(user)
    await checkpoint(turn.runId, 1, 'a\0\ud83d')
    await given().finish(turn, 'a\0b\udc00', { extra: { list: ['\0', { s: '\ud83d' }] }, finishReason: 'st\0p' })
    expect(await given().message(user, turn.answerId)).toMatchObject({
      content: 'a\ufffdb\ufffd',
      extra: { list: ['\ufffd', { s: '\ufffd' }] },
      finishReason: 'st\ufffdp',
    })
  })

  test('finishes and keeps nothing for a run whose conversation is gone', async () => {
    const user = await given().user()
    const turn = await given().begun(user)
    await given().store.conversations.remove(user, turn.conversationId)
    await checkpoint(turn.runId, 1, 'text')
    await given().finish(turn)
    expect(await given().store.conversations.findMessage(user, turn.answerId)).toBeUndefined()
    expect(await pieces(turn.runId)).toBe(0)
  })

  test('keeps the pieces of many running answers at once, and each piece once', async () => {
    const user = await given().user()
    const [one, two, done] = [await given().begun(user), await given().begun(user), await given().answered(user)]
    await given().store.turns.checkpoint([])
    await given().store.turns.checkpoint([one, two, done].map(({ runId }) => ({ runId, seq: 1, text: 'x' })))
    await checkpoint(one.runId, 1, 'x')
    expect([await pieces(one.runId), await pieces(two.runId), await pieces(done.runId)]).toEqual([1, 1, 0])
  })

  test('interrupts the runs of a process that fell silent, with the text that was kept, in order', async () => {
    await tidy()
    const user = await given().user()
    const [spoken, mute] = [await given().begun(user), await given().begun(user)]
    await checkpoint(spoken.runId, 10, 'world')
    await checkpoint(spoken.runId, 9, 'brave new ')
    expect(await runs().interruptOrphans(10, after(50))).toBe(2)
    expect(await given().message(user, spoken.answerId)).toMatchObject({
      content: 'brave new world',
      status: 'interrupted',
      completedAt: after(50),
    })
    expect(await given().run(user, spoken.runId)).toMatchObject({
      status: 'interrupted',
      lastSeq: 11,
      finishedAt: after(50),
      error: { code: 'UPSTREAM_UNAVAILABLE' },
    })
    expect(await given().message(user, mute.answerId)).toMatchObject({ content: '', status: 'interrupted' })
    // The start is an event, too.
    expect(await given().run(user, mute.runId)).toMatchObject({ lastSeq: 2 })
    expect(await pieces(spoken.runId)).toBe(0)
    expect(await runs().interruptOrphans(10, after(60))).toBe(0)
  })

  test('leaves a living process alone until it falls silent or leaves', async () => {
    await tidy()
    const user = await given().user()
    const instanceId = newId()
    await runs().heartbeat(instanceId)
    await given().begun(user, { instanceId })
    expect(await runs().interruptOrphans(10, AT)).toBe(0)
    await given().sql(`update instances set heartbeat_at = now() - interval '11 seconds' where id = $1`, [instanceId])
    await runs().heartbeat(instanceId)
    expect(await runs().interruptOrphans(10, AT)).toBe(0)
    await given().sql(`update instances set heartbeat_at = now() - interval '11 seconds' where id = $1`, [instanceId])
    expect(await runs().interruptOrphans(10, AT)).toBe(1)
    await runs().heartbeat(instanceId)
    await given().begun(user, { instanceId })
    await runs().leave(instanceId)
    expect(await runs().interruptOrphans(10, AT)).toBe(1)
  })

  test('counts each interrupted run once when several processes tidy up at the same time', async () => {
    await tidy()
    const user = await given().user()
    const turns = await atOnce(12, () => given().begun(user))
    await Promise.all(turns.map(({ runId }) => checkpoint(runId, 1, 'kept')))
    const counts = await atOnce(8, () => runs().interruptOrphans(10, AT))
    expect(counts.reduce((sum, n) => sum + n)).toBe(12)
    for (const { answerId } of turns) expect(await given().message(user, answerId)).toMatchObject({ content: 'kept' })
  })

  test('lets an answer end once when its process finishes it while another gives it up', async () => {
    const user = await given().user()
    const turns = await atOnce(10, () => given().begun(user))
    await Promise.all(turns.flatMap((turn) => [given().finish(turn), runs().interruptOrphans(10, AT)]))
    for (const { runId, answerId } of turns) {
      const { status } = await given().run(user, runId)
      const message = await given().message(user, answerId)
      expect(message.status).toBe(status === 'completed' ? 'complete' : 'interrupted')
      expect(message.content).toBe(status === 'completed' ? 'answer' : '')
    }
  })

  test('lists the runs of their owner, newest first, a page at a time', async () => {
    const [user, other] = [await given().user(), await given().user()]
    const turns = [await given().answered(user), await given().begun(user), await given().begun(user)]
    await given().begun(other)
    const ids = turns.map(({ runId }) => runId).reverse()
    const list = async (options: { active: boolean; page: number; limit: number }) => {
      const { items, total } = await runs().list(user, options)
      return { ids: items.map(({ id }) => id), total }
    }
    expect(await list({ active: false, page: 1, limit: 10 })).toEqual({ ids, total: 3 })
    expect(await list({ active: false, page: 2, limit: 2 })).toEqual({ ids: ids.slice(2), total: 3 })
    expect(await list({ active: true, page: 1, limit: 10 })).toEqual({ ids: ids.slice(0, 2), total: 2 })
    expect(await runs().find(other, String(ids[0]))).toBeUndefined()
    expect(await runs().find({ ...user, tenantId: newId() }, String(ids[0]))).toBeUndefined()
  })
}
