import { expect, test } from 'bun:test'
import { newId } from '../../../src/lib/ids'
import { after, atOnce, type Given } from './given'

export function runsContract(given: () => Given): void {
  const runs = () => given().store.runs
  const checkpoint = (runId: string, seq: number, text: string) =>
    given().store.turns.checkpoint([{ runId, seq, text }])
  const pieces = (runId: string) => given().count('run_checkpoints', 'run_id', runId)

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

  test('finds the runs that made messages of a conversation, for their owner', async () => {
    const [user, other] = [await given().user(), await given().user()]
    const first = await given().answered(user)
    const id = first.conversationId
    const second = await given().answered(user, { in: id })
    const elsewhere = await given().answered(user)
    const ids = [first.answerId, second.answerId, elsewhere.answerId, first.questionId, newId()]
    const made = await runs().ofMessages(user, id, ids)
    expect(made.map((run) => run.id).sort()).toEqual([first.runId, second.runId].sort())
    expect(await runs().ofMessages(user, id, [])).toEqual([])
    expect(await runs().ofMessages(other, id, ids)).toEqual([])
    expect(await runs().ofMessages({ ...user, tenantId: newId() }, id, ids)).toEqual([])
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
