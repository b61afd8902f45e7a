import { type SQL, sql } from 'drizzle-orm'
import { storable } from '../../lib/text'
import type { BeginResult, BeginTurn, Begun, FinishTurn, Owner, TurnStore } from '../port'
import { type Db, violated } from './db'
import { findRun } from './runs'

/** JSON as Postgres can store it. */
const stringify = (value: unknown) =>
  JSON.stringify(value, (_, inner: unknown) => (typeof inner === 'string' ? storable(inner) : inner))
const json = (value: unknown): SQL => (value === null ? sql`null::jsonb` : sql`${stringify(value)}::jsonb`)
const instant = (at: Date): SQL => sql`${at.toISOString()}::timestamptz`

interface BeginRow extends Record<string, unknown> {
  conversation_id: string
  system_prompt: string | null
  model: string
  parent_id: string | null
  parent_status: string | null
  branch_id: string | null
  context: Begun['context'] | null
}

/** How often `begin` looks again when another request moved the active leaf while it waited for the row. */
const ATTEMPTS = 5

export class SqlTurns implements TurnStore {
  constructor(private readonly db: Db) {}

  async begin(owner: Owner, turn: BeginTurn): Promise<BeginResult> {
    for (let attempt = 1; ; attempt++) {
      const row = await this.tryBegin(owner, turn)
      if (row === 'repeated') return this.repeated(owner, turn)
      if (!row) return { outcome: 'not_found' }
      if (row.branch_id) {
        const { conversation_id: conversationId, system_prompt: systemPrompt, branch_id: branchId, model } = row
        return {
          outcome: 'begun',
          conversationId,
          systemPrompt,
          branchId,
          model,
          context: row.context ?? [],
        }
      }
      if (row.parent_status === 'streaming') return { outcome: 'busy' }
      // The leaf that the locked row names is newer than this statement's snapshot: a fresh statement sees it.
      const movedLeaf = turn.conversation.kind === 'existing' && turn.conversation.parentId === undefined
      if (!movedLeaf || attempt === ATTEMPTS) return { outcome: 'not_found' }
    }
  }

  private async tryBegin(owner: Owner, turn: BeginTurn): Promise<BeginRow | 'repeated' | undefined> {
    try {
      return (await this.db.execute<BeginRow>(beginStatement(owner, turn))).rows[0]
    } catch (error) {
      if (violated(error) === 'runs_idempotency') return 'repeated'
      throw error
    }
  }

  private async repeated(owner: Owner, { idempotency }: BeginTurn): Promise<BeginResult> {
    const run = await findRun(this.db, owner, {
      idempotencyKey: idempotency?.key ?? '',
    })
    if (!run) throw new Error('The run behind an idempotency key vanished')
    return { outcome: 'repeated', run }
  }

  async finish({ runId, status, lastSeq, error, answer, at }: FinishTurn): Promise<void> {
    await this.db.execute(sql`
      with done as (
        update runs set status = ${status}, last_seq = ${lastSeq}, error = ${json(error)}, finished_at = ${instant(at)}
        where id = ${runId} and status = 'running' returning conversation_id, message_id
      ), answered as (
        update messages m set content = ${storable(answer.content)}, extra = ${json(answer.extra)}, status = ${answer.status},
          finish_reason = ${answer.finishReason}, usage = ${json(answer.usage)},
          cost_nanos = ${answer.costNanos === null ? null : String(answer.costNanos)}::bigint,
          completed_at = ${instant(at)}
        from done where m.id = done.message_id
      ), dropped as (
        delete from run_checkpoints where run_id = ${runId}
      )
      update conversations c set updated_at = ${instant(at)} from done where c.id = done.conversation_id`)
  }

  async checkpoint(pieces: { runId: string; seq: number; text: string }[]): Promise<void> {
    if (pieces.length === 0) return
    // A run that finished or was deleted meanwhile keeps nothing.
    await this.db.execute(sql`
      insert into run_checkpoints (run_id, seq, text)
      select p.run_id, p.seq, p.text
      from jsonb_to_recordset(${stringify(pieces.map((p) => ({ run_id: p.runId, seq: p.seq, text: p.text })))}::jsonb)
        as p(run_id uuid, seq int, text text)
      join runs r on r.id = p.run_id and r.status = 'running'
      on conflict do nothing`)
  }
}

/**
 * One statement, so one round trip and one transaction: lock (or make) the conversation, find the parent and the path
 * above it, write the messages and the run, advance the branch that ended at the parent or open a new one.
 * It writes nothing when the parent is missing or still being written; the row then says so.
 */
function beginStatement(owner: Owner, turn: BeginTurn): SQL {
  const { conversation, runId, answerId, idempotency } = turn
  const at = instant(turn.at)
  const nodes = [
    ...turn.messages.map((message) => ({ ...message, status: 'complete' })),
    {
      id: answerId,
      role: 'assistant',
      content: '',
      extra: null,
      status: 'streaming',
    },
  ]
  return sql`
    with recursive target as (${targetOf(owner, turn)}),
    parent as (
      select m.* from target t join messages m on m.conversation_id = t.id and m.id = t.parent_id
    ),
    admitted as (
      select t.id, t.parent_id, t.model, coalesce(p.depth, -1) as depth
      from target t left join parent p on true
      where (t.parent_id is null or p.id is not null) and p.status is distinct from 'streaming'
    ),
    path as (
      select p.parent_id, p.role, p.content, p.extra, p.status, 1 as n from parent p
      union all
      select m.parent_id, m.role, m.content, m.extra, m.status, path.n + 1
      from path join messages m on m.conversation_id = (select id from target) and m.id = path.parent_id
      where path.n < ${turn.maxContext}
    ),
    nodes as (
      select n.*, row_number() over () as i, lag(n.id) over () as above
      from jsonb_to_recordset(${stringify(nodes)}::jsonb)
        as n(id uuid, role text, content text, extra jsonb, status text)
    ),
    written as (
      insert into messages (id, conversation_id, parent_id, depth, role, content, extra, status, model, created_at, completed_at)
      select n.id, a.id, coalesce(n.above, a.parent_id), a.depth + n.i, n.role, n.content, nullif(n.extra, 'null'), n.status,
        case when n.status = 'streaming' then a.model end, ${at}, case when n.status = 'complete' then ${at} end
      from admitted a, nodes n
    ),
    moved as (
      update conversations c
      set active_leaf_id = ${answerId}, rev = c.rev + 1, updated_at = ${at}, model = a.model
      from admitted a where c.id = a.id
    ),
    advanced as (
      update branches b set leaf_id = ${answerId}, viewed_at = ${at}
      from admitted a where b.conversation_id = a.id and b.leaf_id is not distinct from a.parent_id
      returning b.id
    ),
    opened as (
      insert into branches (id, conversation_id, name, leaf_id, created_at, viewed_at)
      select ${turn.branchId}, a.id, coalesce(${turn.branchName ?? null}, case when old.n = 0 then 'Main' else 'Branch ' || old.n + 1 end),
        ${answerId}, ${at}, ${at}
      from admitted a, lateral (select count(*) as n from branches b where b.conversation_id = a.id) old
      where not exists (select 1 from advanced)
      returning id
    ),
    branch as (select id from advanced union all select id from opened),
    run as (
      insert into runs (id, tenant_id, user_id, conversation_id, message_id, branch_id, status, model, instance_id,
        idempotency_key, fingerprint, last_seq, created_at)
      select ${runId}::uuid, ${owner.tenantId}::uuid, ${owner.userId}::uuid, a.id, ${answerId}::uuid, branch.id, 'running',
        a.model, ${turn.instanceId}::uuid, ${idempotency?.key ?? null}, ${idempotency?.fingerprint ?? null}, 0, ${at}
      from admitted a, branch
    )
    select t.id as conversation_id, t.system_prompt, t.model, t.parent_id, p.status as parent_status,
      (select id from branch) as branch_id,
      (select jsonb_agg(jsonb_build_object('role', role, 'content', content, 'extra', extra, 'status', status) order by n desc)
        from path) as context
    from target t left join parent p on true`

  function targetOf({ tenantId, userId }: Owner, { at: now }: BeginTurn): SQL {
    if (conversation.kind === 'new') {
      return sql`
        insert into conversations (id, tenant_id, user_id, title, title_source, model, system_prompt, active_leaf_id, rev,
          created_at, updated_at)
        values (${conversation.id}, ${tenantId}, ${userId}, ${conversation.title}, 'auto', ${turn.model ?? turn.defaultModel},
          ${conversation.systemPrompt}, ${answerId}, 1, ${instant(now)}, ${instant(now)})
        returning id, system_prompt, model, null::uuid as parent_id`
    }
    const { parentId } = conversation
    return sql`
      select id, system_prompt, coalesce(${turn.model ?? null}, model, ${turn.defaultModel}) as model,
        ${parentId === undefined ? sql`active_leaf_id` : sql`${parentId}::uuid`} as parent_id
      from conversations
      where id = ${conversation.id} and user_id = ${userId} and tenant_id = ${tenantId}
      for update`
  }
}
