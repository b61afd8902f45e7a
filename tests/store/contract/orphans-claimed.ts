import { expect, test } from 'bun:test'
import { newId } from '../../../src/lib/ids'
import type { FinishTurn } from '../../../src/store/port'
import { AT, atOnce, type Given } from './given'

/** For stores that know the runs of every process: a living one goes on with what a dead one began. */
export function claimsContract(given: () => Given): void {
  const runs = () => given().store.runs
  const claim = (instanceId = newId(), most = 100) => runs().claimOrphans({ instanceId, silentSeconds: 10, most })
  const request = { body: { temperature: 0.5 } }
  /** Everything that others have left running, so that counting begins at zero. */
  const tidy = () => runs().interruptOrphans(0, AT)
  const whole = (runId: string, instanceId?: string): FinishTurn => ({
    runId,
    instanceId,
    status: 'completed',
    lastSeq: 3,
    error: null,
    answer: { content: 'whole', extra: null, status: 'complete', finishReason: 'stop', usage: null, costNanos: null },
    at: AT,
  })

  test('claims each orphan once when several processes try at the same time', async () => {
    await tidy()
    const user = await given().user()
    const turns = await atOnce(12, () => given().begun(user, { request }))
    const claims = (await atOnce(8, () => claim())).flat()
    expect(claims.map(({ id }) => id).sort()).toEqual(turns.map(({ runId }) => runId).sort())
    expect(await runs().interruptOrphans(10, AT)).toBe(12)
  })

  test('gives what is needed to make the answer again, and at most as many as there is room for', async () => {
    await tidy()
    const user = await given().user()
    const [turn] = [await given().begun(user, { request }), await given().begun(user, { request })]
    const [one, ...more] = await claim(newId(), 1)
    expect(more).toEqual([])
    expect(one).toMatchObject({
      id: turn.runId,
      messageId: turn.answerId,
      parentId: turn.questionId,
      model: 'default-model',
      status: 'running',
      continued: 1,
      request,
      user: { userId: user.userId, tenantId: user.tenantId, role: 'user' },
    })
    expect(await claim()).toHaveLength(1)
  })

  test('leaves alone what is alive, cannot be made again, is to be stopped, or was claimed before', async () => {
    await tidy()
    const user = await given().user()
    const instanceId = newId()
    await runs().heartbeat(instanceId)
    const alive = await given().begun(user, { request, instanceId })
    await given().begun(user)
    const unwanted = await given().begun(user, { request })
    await runs().requestStop([unwanted.runId], AT)
    await given().begun(user, { request: { ...request, key_id: newId() } })
    expect(await claim()).toEqual([])
    await runs().leave(instanceId)
    expect((await claim()).map(({ id }) => id)).toEqual([alive.runId])
    expect(await claim()).toEqual([])
  })

  test('claims nothing of a person who was disabled', async () => {
    await tidy()
    const user = await given().user()
    const turn = await given().begun(user, { request })
    await given().sql('update users set disabled_at = now() where id = $1', [user.userId])
    expect(await claim()).toEqual([])
    expect(await runs().interruptOrphans(10, AT)).toBe(1)
    expect(await given().run(user, turn.runId)).toMatchObject({ status: 'interrupted', continued: 0 })
  })

  test('keeps nothing more of the process that was taken for dead', async () => {
    await tidy()
    const user = await given().user()
    const [dead, heir] = [newId(), newId()]
    const { runId, answerId } = await given().begun(user, { request, instanceId: dead })
    const { turns } = given().store
    await turns.checkpoint([{ runId, seq: 5, text: 'before' }], dead)
    await claim(heir)
    await turns.checkpoint([{ runId, seq: 7, text: ' and after' }], dead)
    expect(await turns.finish(whole(runId, dead))).toEqual({ closed: true })
    expect(await runs().giveUp(runId, dead, AT)).toBeUndefined()
    expect((await given().message(user, answerId)).status).toBe('streaming')
    expect(await turns.finish(whole(runId, heir))).toEqual({})
    expect(await turns.finish(whole(newId(), heir))).toEqual({})
    expect(await given().message(user, answerId)).toMatchObject({ content: 'whole', status: 'complete' })
    expect(await given().sql('select request from runs where id = $1', [runId])).toEqual([{ request: null }])
  })

  test('gives up with what was kept', async () => {
    await tidy()
    const user = await given().user()
    const heir = newId()
    const { runId, answerId } = await given().begun(user, { request })
    await given().store.turns.checkpoint([{ runId, seq: 5, text: 'before' }])
    await claim(heir)
    const error = { code: 'UPSTREAM_UNAVAILABLE' }
    expect(await runs().giveUp(runId, heir, AT)).toMatchObject({ text: 'before', error })
    expect(await given().message(user, answerId)).toMatchObject({ content: 'before', status: 'interrupted' })
    expect(await runs().giveUp(runId, heir, AT)).toBeUndefined()
  })
}
