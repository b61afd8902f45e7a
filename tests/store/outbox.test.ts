import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { newId } from '../../src/lib/ids'
import { Outbox } from '../../src/store/edge/outbox'
import type { FinishTurn, Store, User } from '../../src/store/port'
import { until } from '../support/servers'
import { type FunctionProxy, startFunctionProxy } from '../support/supabase/function-proxy'
import { type Supabase, startSupabase } from '../support/supabase/index'
import { openEdgeStore, personOf } from '../support/supabase/store'
import { newTurn } from './contract/given'

let supabase: Supabase
let edge: FunctionProxy
const folders: string[] = []
beforeAll(async () => {
  supabase = await startSupabase()
  edge = startFunctionProxy(supabase.functionUrl)
})
afterAll(async () => {
  await edge.stop()
  await supabase.close()
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

const newFolder = () => {
  const folder = mkdtempSync(join(tmpdir(), 'orchestrator-outbox-'))
  folders.push(folder)
  return folder
}
const open = async (dataDir: string) => {
  const opened = openEdgeStore(supabase, { dataDir, functionUrl: edge.url })
  await opened.store.ping()
  return opened
}
const finished = (runId: string, content: string): FinishTurn => ({
  runId,
  status: 'completed',
  lastSeq: 3,
  error: null,
  at: new Date(),
  answer: { content, extra: null, status: 'complete', finishReason: 'stop', usage: null, costNanos: 12n },
})
const begun = async (store: Store, user: User) => {
  const turn = newTurn({ at: new Date() })
  expect(await store.turns.begin(user, turn)).toMatchObject({ outcome: 'begun' })
  return turn
}
const saved = async (messageId: string) =>
  (await supabase.pool.query('select content, status, cost_nanos from messages where id = $1', [messageId])).rows

test('saves after a restart what could not be saved before, when its owner is back', async () => {
  const dataDir = newFolder()
  const user = await personOf(supabase)
  const first = await open(dataDir)
  const turn = await begun(first.store, user)
  edge.fail('/save-response', 'error')
  expect(await first.store.turns.finish(finished(turn.runId, 'kept'))).toEqual({ delayed: true })
  await first.close()
  edge.mend()

  const second = await open(dataDir)
  expect(await second.store.conversations.findMessage(user, turn.answerId)).toMatchObject({
    content: 'kept',
    costNanos: 12n,
  })
  expect(await saved(turn.answerId)).toEqual([])
  await second.store.conversations.list(user, { page: 1, limit: 10 })
  await until(async () => (await saved(turn.answerId)).length === 1)
  expect(await saved(turn.answerId)).toEqual([{ content: 'kept', status: 'complete', cost_nanos: '12' }])
  await second.close()
})

test('saves an answer that was being written when the process died, as far as it was kept', async () => {
  const dataDir = newFolder()
  const user = await personOf(supabase)
  const first = await open(dataDir)
  const turn = await begun(first.store, user)
  const piece = (seq: number, text: string) => first.store.turns.checkpoint([{ runId: turn.runId, seq, text }])
  await piece(9, 'world')
  await piece(3, 'brave new ')
  await piece(9, 'twice')
  // Closing without a word about the answer leaves the disk as a killed process would.
  await first.close()

  const second = await open(dataDir)
  await second.store.conversations.list(user, { page: 1, limit: 10 })
  await until(async () => (await saved(turn.answerId)).length === 1)
  expect(await saved(turn.answerId)).toMatchObject([{ content: 'brave new world', status: 'interrupted' }])
  await second.close()
})

test('keeps an answer that began anew from there on', () => {
  const outbox = new Outbox(newFolder())
  const runId = newId()
  outbox.begin(runId, 'user', { id: runId })
  outbox.piece({ runId, seq: 3, text: 'the first' })
  outbox.piece({ runId, seq: 5, text: 'the sec', anew: true })
  outbox.piece({ runId, seq: 8, text: 'ond' })
  expect(outbox.left(new Date()).map(({ row }) => row.content)).toEqual(['the second'])
  outbox.close()
})

test('saves once however often a save is heard of or not', async () => {
  const dataDir = newFolder()
  const user = await personOf(supabase)
  const { store, close } = await open(dataDir)
  const turn = await begun(store, user)
  edge.fail('/save-response', 'lost', 2)
  expect(await store.turns.finish(finished(turn.runId, 'once'))).toEqual({ delayed: true })
  await until(() => edge.calls.filter((line) => line === 'POST /save-response').length >= 3, 30_000)
  await until(async () => (await store.conversations.find(user, turn.conversation.id))?.activeLeafId === turn.answerId)
  expect(await saved(turn.answerId)).toHaveLength(1)
  const { rows } = await supabase.pool.query('select count(*) from messages where conversation_id = $1', [
    turn.conversation.id,
  ])
  expect(rows).toEqual([{ count: '2' }])
  await close()
})

test('is readable by its owner only and belongs to one process', async () => {
  const dataDir = newFolder()
  const outbox = new Outbox(dataDir)
  expect(statSync(join(dataDir, 'outbox.sqlite')).mode & 0o077).toBe(0)
  expect(() => new Outbox(dataDir)).toThrow('is in use by process')
  outbox.close()
  new Outbox(dataDir).close()
})

test('holds no token and gives back what was put in', () => {
  const dataDir = newFolder()
  const outbox = new Outbox(dataDir)
  const [writing, sent, gone] = [newId(), newId(), newId()]
  for (const runId of [writing, sent, gone]) outbox.begin(runId, 'user', { id: runId, content: '' })
  outbox.finish(sent, { id: sent, content: 'all' })
  outbox.remove(gone)
  outbox.piece({ runId: gone, seq: 1, text: 'of nobody' })
  outbox.piece({ runId: writing, seq: 1, text: 'half' })
  const at = new Date('2026-01-01T00:00:00.000Z')
  expect(outbox.left(at)).toEqual([
    {
      runId: writing,
      userId: 'user',
      row: { id: writing, content: 'half', status: 'interrupted', completed_at: at.toISOString() },
      sent: false,
    },
    { runId: sent, userId: 'user', row: { id: sent, content: 'all' }, sent: true },
  ])
  outbox.close()
})
