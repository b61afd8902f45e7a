/** What must be true of an installation when all is quiet again, whatever was done to it. */
import type { Pool } from 'pg'
import { broken } from '../store/bank'
import { until } from '../support/servers'
import type { Heard } from './heard'
import { accountOf, answerTo, keyOf, type Prompt, promptIn, strangersIn } from './marks'
import type { World } from './world'

/** Milliseconds in which servers find what dead ones left: who is silent for 10 s is dead, and they look every 3 s. */
const FOUND = 40_000
/** Milliseconds in which they settle it. */
const SETTLED = 30_000

interface Row {
  run: string
  user_id: string
  run_status: string
  prompt: string
  message: string
  status: string
  content: string
  /** Records of usage of this run. */
  records: { status: string; completion_tokens: number }[]
}

/** @returns what is wrong; nothing, one hopes. */
export async function verdict({ pool, instances, provider }: World, turns: Heard[]): Promise<string[]> {
  const faults = new Faults()
  for (const { faults: heard } of turns) faults.add(...heard)
  faults.add(...provider.faults, ...instances.flatMap((instance) => [...instance.faults, ...instance.complaints()]))
  for (const { name, base } of instances) {
    const status = await fetch(`${base}/ready`).then((answer) => answer.status, String)
    if (status !== 200) faults.add(`${name} is not ready: ${status}`)
  }
  await finished(pool).catch(() => faults.add('answers are still "running" long after all is quiet'))
  await settled(pool).catch(() => faults.add('reservations are still open long after all is quiet'))
  const rows = await rowsOf(pool)
  checkTexts(rows, turns, faults)
  checkOwners(rows, faults)
  checkCalls(rows, provider.calls, faults)
  faults.add(...(await broken({ sql: async (text) => (await pool.query(text)).rows })))
  return faults.all
}

/** The first few of each kind say enough. */
class Faults {
  readonly all: string[] = []

  add(...faults: string[]): void {
    for (const fault of faults) if (this.all.length < 100) this.all.push(fault)
  }
}

const none = async (pool: Pool, query: string) => (await pool.query(query)).rowCount === 0

function finished(pool: Pool): Promise<void> {
  const open = `select from runs where status = 'running' union all select from messages where status = 'streaming'`
  return until(() => none(pool, open), FOUND)
}

/**
 * What dead servers left open is settled by the others half a minute after it was found, in case somebody still does. The
 * database is told that this time is over. What was reserved and never began to be answered is given back when it expires.
 */
async function settled(pool: Pool): Promise<void> {
  await pool.query(`update runs set finished_at = finished_at - interval '1 minute'`)
  await pool.query(`update reservations set expires_at = now() - interval '1 minute' where state = 'open'`)
  await until(() => none(pool, `select from reservations where state = 'open'`), SETTLED)
}

const rowsOf = async (pool: Pool) =>
  (
    await pool.query<Row>(`
      select r.id as run, r.user_id, r.status as run_status, asked.content as prompt, m.id as message, m.status, m.content,
        coalesce((select jsonb_agg(jsonb_build_object('status', u.status, 'completion_tokens', u.completion_tokens))
          from usage_records u where u.run_id = r.id), '[]') as records
      from runs r
      join messages m on m.conversation_id = r.conversation_id and m.id = r.message_id
      join messages asked on asked.conversation_id = m.conversation_id and asked.id = m.parent_id`)
  ).rows

const ENDED: Record<string, string> = {
  completed: 'complete',
  stopped: 'stopped',
  failed: 'error',
  interrupted: 'interrupted',
}

/** What is stored is whole or marked, is a beginning of what was said, and is what the client has. */
function checkTexts(rows: Row[], turns: Heard[], faults: Faults): void {
  const byRun = new Map(rows.map((row) => [row.run, row]))
  for (const { run, run_status, status, content, prompt: asked } of rows) {
    const prompt = promptIn(asked)
    const name = `${asked} (run ${run}, ${run_status})`
    if (!prompt) faults.add(`${name} is no prompt of this test`)
    else if (!answerTo(prompt).startsWith(content)) faults.add(`${name} is stored with a wrong text: ${content}`)
    else if (run_status === 'completed' && content !== answerTo(prompt)) faults.add(`${name} is not whole: ${content}`)
    if (ENDED[run_status] !== status) faults.add(`${name} has a message that is "${status}"`)
  }
  for (const heard of turns) {
    const row = byRun.get(heard.runId ?? '')
    if (row) checkHeard(heard, row, faults)
    else if (heard.runId) faults.add(`${keyOf(heard.prompt)}: its run ${heard.runId} is not stored`)
    if (!heard.ended) faults.add(`${keyOf(heard.prompt)} (run ${heard.runId}) never ended for its client`)
  }
}

function checkHeard({ prompt, text, ended, runId }: Heard, row: Row, faults: Faults): void {
  const name = `${keyOf(prompt)} (run ${runId}, ${row.run_status})`
  if (row.prompt.split(' ')[0] !== `[${keyOf(prompt)}]`)
    faults.add(`${name} was answered with the run of ${row.prompt}`)
  if (!answerTo(prompt).startsWith(text)) faults.add(`${name} was heard with a wrong text: ${text}`)
  if (!ended || 'error' in ended) return
  if (text !== row.content)
    faults.add(`${name} was heard as ${text.length} characters, and ${row.content.length} are stored`)
  const status = ended.finish === 'stopped' ? 'stopped' : 'completed'
  if (row.run_status !== status) faults.add(`${name} ended for its client as ${ended.finish}`)
}

/** Nobody has words of somebody else, and no prompt was written twice, however often it was sent. */
function checkOwners(rows: Row[], faults: Faults): void {
  const owners = new Map<number, string>()
  const accounts = new Map<string, number>()
  const prompts = new Set<string>()
  for (const { user_id, prompt: asked, content, run } of rows) {
    const prompt = promptIn(asked) as Prompt
    if (prompts.has(asked)) faults.add(`${asked} is stored twice`)
    prompts.add(asked)
    const account = accountOf(prompt.client)
    const same = (owners.get(account) ?? user_id) === user_id && (accounts.get(user_id) ?? account) === account
    if (!same) faults.add(`${asked} (run ${run}) belongs to a person of another client`)
    owners.set(account, user_id)
    accounts.set(user_id, account)
    const [stranger] = strangersIn(content, prompt)
    if (stranger) faults.add(`${asked} (run ${run}) is stored with words of ${stranger}`)
  }
}

/**
 * Every call of the provider has its record, and no answer has two. A record without a call is one of an answer that was
 * paid for in advance and then never asked for: its server died, or the provider was out of reach. It charges no words.
 */
function checkCalls(rows: Row[], calls: Map<string, number>, faults: Faults): void {
  const asked = new Set<string>()
  for (const { run, run_status, prompt: text, records } of rows) {
    const prompt = promptIn(text) as Prompt
    const called = calls.get(keyOf(prompt)) ?? 0
    asked.add(keyOf(prompt))
    const name = `${text} (run ${run}, ${run_status})`
    const [record] = records
    if (records.length > 1) faults.add(`${name} has ${records.length} records of usage`)
    if (called > 0 && !record) faults.add(`${name} was asked of the provider and has no record of usage`)
    if (called === 0 && record && record.completion_tokens > 0) faults.add(`${name} was charged words that nobody said`)
    if (called === 0 && run_status === 'completed') faults.add(`${name} is complete without a call of the provider`)
    const whole = record?.status === 'completed' && record.completion_tokens === prompt.words
    if (run_status === 'completed' && !whole)
      faults.add(`${name} is complete, and charged as ${JSON.stringify(record)}`)
  }
  for (const key of calls.keys()) if (!asked.has(key)) faults.add(`${key} was asked of the provider and is not stored`)
}
