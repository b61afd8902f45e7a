/** Somebody with at least one row in every table that the project has. */
import { randomUUID } from 'node:crypto'
import type { Pool } from 'pg'

export const TENANT = '00000000-0000-0000-0000-000000000001'
/** In every text of somebody's that only they may read. */
export const canaryOf = (user: string) => `canary of ${user}`

export interface Rows {
  user: string
  conversation: string
  branch: string
  question: string
  answer: string
}

export async function fill(pool: Pool): Promise<Rows> {
  const [user, conversation, branch, question, answer, run, session] = Array.from({ length: 7 }, () =>
    randomUUID(),
  ) as [string, string, string, string, string, string, string]
  const email = `${user}@example.com`
  const at = new Date()
  const canary = canaryOf(user)
  const sql = (text: string, values: unknown[]) => pool.query(text, values)
  await sql('insert into auth.users (id, email) values ($1, $2)', [user, email])
  await sql(`update user_profiles set litellm_key = $2, max_budget = 10 where id = $1`, [user, `sk-${canary}`])
  const messages = [{ id: question, role: 'user', content: `${canary} question`, extra: { note: `${canary} extra` } }]
  const place = { id: conversation, title: `${canary} title`, system_prompt: `${canary} prompt` }
  const turn = { is_new: true, conversation: place, messages, branch_id: branch, model: 'm', max_context: 10, at }
  await sql(`select conversation_manager($1, 'add_message', $2)`, [{ sub: user, email }, { turn }])
  const saved = {
    conversation_id: conversation,
    message_id: answer,
    parent_id: question,
    branch_id: branch,
    content: `${canary} answer`,
    status: 'complete',
    created_at: at,
    completed_at: at,
  }
  await sql(`select conversation_manager($1, 'save_response', $2)`, [{ sub: user, email }, { answer: saved }])
  // What the server keeps when it is started on the same database.
  await sql('insert into sessions (id, user_id, created_at, expires_at) values ($1, $2, $3, $3)', [session, user, at])
  await sql('insert into refresh_tokens (hash, session_id, created_at) values ($1, $2, $3)', [canary, session, at])
  await sql(
    `insert into api_keys (id, user_id, name, hash, last_four, created_at) values (gen_random_uuid(), $1, 'k', $2, 'abcd', $3)`,
    [user, canary, at],
  )
  await sql('insert into instances (id, heartbeat_at) values ($1, $2)', [run, at])
  await sql(
    `insert into runs (id, tenant_id, user_id, conversation_id, message_id, branch_id, status, model, instance_id, last_seq, created_at)
     values ($1, $2, $3, $4, $5, $6, 'completed', 'm', $1, 3, $7)`,
    [run, TENANT, user, conversation, answer, branch, at],
  )
  await sql(
    `insert into idempotency_keys (tenant_id, user_id, key, operation, fingerprint, instance_id, state, body, created_at, expires_at)
     values ($1, $2, $3, 'POST /v1/keys', 'f', $2, 'done', $4, $5, $5)`,
    [TENANT, user, canary, Buffer.from(canary), at],
  )
  await sql('insert into run_checkpoints (run_id, seq, text) values ($1, 1, $2)', [run, canary])
  await sql(
    `insert into feedback (id, tenant_id, user_id, conversation_id, message_id, comment, snapshot, created_at, updated_at)
     values (gen_random_uuid(), $1, $2, $3, $4, $5, '{}', $6, $6)`,
    [TENANT, user, conversation, answer, canary, at],
  )
  await sql(`insert into deletions (user_id, kind, id, conversation_id, at) values ($1, 'message', $2, $3, $4)`, [
    user,
    randomUUID(),
    conversation,
    at,
  ])
  await fillLedger(pool, user, at)
  return { user, conversation, branch, question, answer }
}

/** Ten dollars come in, one is kept back, and another is charged, with its record, its sums, its budget and its event. */
async function fillLedger(pool: Pool, user: string, at: Date): Promise<void> {
  const ids = [randomUUID(), randomUUID()]
  const account = ids[0]
  await pool.query(
    `insert into accounts (id, tenant_id, kind, owner_id, limited, created_at)
     values ($1, $3, 'user', $4, true, $5), ($2, $3, 'system', $3, false, $5) on conflict do nothing`,
    [...ids, TENANT, user, at],
  )
  const credit = {
    id: randomUUID(),
    account,
    amount: '10000000000',
    kind: 'topup',
    reason: canaryOf(user),
    idempotency_key: user,
    at,
  }
  await pool.query('select ledger_credit($1)', [credit])
  const budget = { id: randomUUID(), tenant_id: TENANT, account_id: account, period: 'day', hard: true, at }
  await pool.query('select budget_put($1)', [{ ...budget, limit_nanos: '5000000000', warn_percent: 10 }])
  const reservation = { accounts: [account], amount: '1000000000', expires_at: at, at }
  const [open, spent] = [randomUUID(), randomUUID()]
  await pool.query('select ledger_reserve($1)', [
    JSON.stringify([
      { ...reservation, id: open },
      { ...reservation, id: spent },
    ]),
  ])
  await pool.query('select ledger_resolve($1)', [JSON.stringify([settled(spent, { user, at })])])
  await pool.query(
    `insert into provider_keys (tenant_id, provider, sealed, last_four, created_at) values ($1, $2, $2, 'abcd', $3)`,
    [TENANT, canaryOf(user), at],
  )
}

function settled(id: string, { user, at }: { user: string; at: Date }) {
  const who = { id, tenant_id: TENANT, user_id: user, created_at: at }
  const counts = { prompt_tokens: 1, completion_tokens: 1, cached_tokens: 0, reasoning_tokens: 0, saved_nanos: '0' }
  const usage = {
    ...who,
    ...counts,
    model: canaryOf(user),
    status: 'completed',
    cost_basis: 'provider',
    completed_at: at,
  }
  const event = { ...who, id: randomUUID(), type: 'message.completed', data: { note: canaryOf(user) } }
  return { id, state: 'settled', amount: '1000000000', at, usage, event, low_at: '100' }
}
