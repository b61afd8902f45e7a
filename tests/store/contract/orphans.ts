import { expect, test } from 'bun:test'
import { newId } from '../../../src/lib/ids'
import type { FinishTurn } from '../../../src/store/port'
import { AT, after, atOnce, type Given } from './given'

/** For stores that know the runs of every process: what is left of those that died. */
export function orphansContract(given: () => Given): void {
  const runs = () => given().store.runs
  const checkpoint = (runId: string, seq: number, text: string) =>
    given().store.turns.checkpoint([{ runId, seq, text }])
  const pieces = (runId: string) => given().count('run_checkpoints', 'run_id', runId)
  /** Everything that others have left running, so that counting begins at zero. */
  const tidy = () => runs().interruptOrphans(0, AT)

  test('interrupts what a living process was never told it had begun, and nothing that it makes or may yet hear of', async () => {
    const instanceId = newId()
    await runs().heartbeat(instanceId)
    const user = await given().user()
    const [lost, made] = [await given().begun(user, { instanceId }), await given().begun(user, { instanceId })]
    const late = await given().begun(user, { instanceId, at: after(40) })
    const other = newId()
    await runs().heartbeat(other)
    const elsewhere = await given().begun(user, { instanceId: other })
    const own = { instanceId, making: [made.runId], before: after(30) }
    expect(await runs().interruptOrphans(10, AT, own)).toBe(1)
    expect(await given().run(user, lost.runId)).toMatchObject({ status: 'interrupted' })
    for (const { runId } of [made, late, elsewhere]) {
      expect(await given().run(user, runId)).toMatchObject({ status: 'running' })
    }
    await tidy()
  })

  test('says so when an answer was closed by others before it could be kept', async () => {
    const user = await given().user()
    const [taken, own] = [await given().begun(user), await given().begun(user)]
    const whole = (runId: string): FinishTurn => ({
      runId,
      status: 'completed',
      lastSeq: 3,
      error: null,
      answer: { content: 'whole', extra: null, status: 'complete', finishReason: 'stop', usage: null, costNanos: null },
      at: AT,
    })
    const { turns } = given().store
    expect(await turns.finish(whole(own.runId))).toEqual({})
    await tidy()
    expect(await turns.finish(whole(taken.runId))).toEqual({ closed: true })
    expect(await given().message(user, taken.answerId)).toMatchObject({ content: '', status: 'interrupted' })
    // Written twice, as after an answer of the database that was lost, it is one's own.
    expect(await turns.finish(whole(own.runId))).toEqual({})
  })

  test('keeps the pieces of many running answers at once, and each piece once', async () => {
    const user = await given().user()
    const [one, two, done] = [await given().begun(user), await given().begun(user), await given().answered(user)]
    await given().store.turns.checkpoint([])
    await given().store.turns.checkpoint([one, two, done].map(({ runId }) => ({ runId, seq: 1, text: 'x' })))
    await checkpoint(one.runId, 1, 'x')
    expect([await pieces(one.runId), await pieces(two.runId), await pieces(done.runId)]).toEqual([1, 1, 0])
  })

  test('keeps who answered, how long it took, and the trace it belongs to', async () => {
    const user = await given().user()
    const trace = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16) }
    const turn = await given().begun(user, { trace })
    const nothing = { provider: null, firstTokenMs: null, latencyMs: null }
    expect(await given().run(user, turn.runId)).toMatchObject({ ...trace, ...nothing })
    await given().finish(turn, 'answer', {}, { provider: 'openai', firstTokenMs: 12, latencyMs: 345 })
    const facts = { ...trace, provider: 'openai', firstTokenMs: 12, latencyMs: 345 }
    expect(await given().run(user, turn.runId)).toMatchObject(facts)
    expect(await runs().ofMessages(user, turn.conversationId, [turn.answerId])).toMatchObject([facts])
    const plain = await given().answered(user)
    expect(await given().run(user, plain.runId)).toMatchObject({ ...nothing, traceId: null, spanId: null })
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

  test('an answer that began anew is kept from there on, and not pasted together from both', async () => {
    await tidy()
    const user = await given().user()
    const [one, other] = [await given().begun(user), await given().begun(user)]
    await checkpoint(one.runId, 3, 'the first ')
    await checkpoint(other.runId, 3, 'another')
    const anew = { runId: one.runId, seq: 7, text: 'the sec', anew: true }
    await given().store.turns.checkpoint([anew, { runId: other.runId, seq: 5, text: ' one' }])
    await given().store.turns.checkpoint([anew])
    await checkpoint(one.runId, 9, 'ond')
    expect(await runs().interruptOrphans(0, AT)).toBe(2)
    expect(await given().message(user, one.answerId)).toMatchObject({ content: 'the second' })
    expect(await given().message(user, other.answerId)).toMatchObject({ content: 'another one' })
  })

  test('keeps who answered, how long it took, and which arm of a test it was', async () => {
    const user = await given().user()
    const { runId, answerId } = await given().begun(user)
    const answer = { content: 'x', extra: null, finishReason: 'stop', usage: null, costNanos: null }
    await given().store.turns.finish({
      runId,
      status: 'completed',
      lastSeq: 3,
      error: null,
      answer: { ...answer, status: 'complete' },
      metadata: { variant: 'B' },
      timing: { provider: 'openai', firstTokenMs: 12, latencyMs: 345 },
      at: AT,
    })
    expect((await given().message(user, answerId)).metadata).toEqual({ variant: 'B' })
    const rows = await given().sql('select provider, first_token_ms, latency_ms from runs where id = $1', [runId])
    expect(rows).toEqual([{ provider: 'openai', first_token_ms: 12, latency_ms: 345 }])
  })

  test('keeps facts beside an answer from its beginning, and adds to them for its owner', async () => {
    const [user, other] = [await given().user(), await given().user()]
    const { answerId, questionId } = await given().begun(user, { metadata: { a: 1, b: { c: 2 } } })
    const metadata = async () => (await given().message(user, answerId)).metadata
    const { conversations } = given().store
    expect(await metadata()).toEqual({ a: 1, b: { c: 2 } })
    expect((await given().message(user, questionId)).metadata).toBeNull()
    expect(await conversations.annotate(other, answerId, { a: 9 })).toBe(false)
    expect(await conversations.annotate(user, newId(), { a: 9 })).toBe(false)
    expect(await conversations.annotate(user, answerId, { b: { d: 3 } })).toBe(true)
    expect(await metadata()).toEqual({ a: 1, b: { d: 3 } })
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

  test('believes no clock but its own: instances may be hours apart', async () => {
    await tidy()
    const user = await given().user()
    const instanceId = newId()
    await runs().heartbeat(instanceId)
    await given().begun(user, { instanceId })
    for (const hours of [-1, 1]) {
      const shifted = new Date(Date.now() + hours * 3_600_000)
      expect(await runs().interruptOrphans(10, shifted)).toBe(0)
    }
    await runs().leave(instanceId)
    expect(await runs().interruptOrphans(10, AT)).toBe(1)
  })

  test('tells how runs stand, whoever makes them, and leaves out those that are gone', async () => {
    const [user, other] = [await given().user(), await given().user()]
    const [going, done, gone] = [await given().begun(user), await given().answered(other), await given().begun(user)]
    await given().store.conversations.remove(user, gone.conversationId)
    const looks = await runs().look([going, done, gone].map(({ runId }) => runId))
    expect(looks.sort((a, b) => a.status.localeCompare(b.status))).toMatchObject([
      { id: done.runId, status: 'completed', stopRequested: false, continued: 0 },
      { id: going.runId, status: 'running', stopRequested: false, continued: 0 },
    ])
    expect(await runs().look([])).toEqual([])
  })

  test('keeps the wish that a run shall stop, for running ones only, and says who writes them', async () => {
    const user = await given().user()
    const instanceId = newId()
    const [going, done] = [await given().begun(user, { instanceId }), await given().answered(user)]
    const ids = [going.runId, done.runId, newId()]
    for (const at of [AT, after(5)])
      expect(await runs().requestStop(ids, at)).toEqual([{ id: going.runId, instanceId }])
    expect(await runs().look([going.runId])).toMatchObject([{ status: 'running', stopRequested: true, instanceId }])
    expect(await runs().requestStop([], AT)).toEqual([])
  })

  test('finds what other processes are writing in conversations', async () => {
    const user = await given().user()
    const [here, there] = [newId(), newId()]
    const mine = await given().begun(user, { instanceId: here })
    const theirs = await given().begun(user, { instanceId: there })
    const conversations = [mine.conversationId, theirs.conversationId, (await given().answered(user)).conversationId]
    expect(await runs().elsewhere(conversations, here)).toMatchObject([
      { id: theirs.runId, messageId: theirs.answerId, instanceId: there },
    ])
    expect(await runs().elsewhere([mine.conversationId], here)).toEqual([])
    expect(await runs().elsewhere([], here)).toEqual([])
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
}
