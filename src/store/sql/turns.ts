import { type SQL, sql } from 'drizzle-orm'
import { storableJson } from '../../lib/text'
import type {
  AmendedAnswer,
  BeginResult,
  BeginTurn,
  Begun,
  FinishTurn,
  Kept,
  Owner,
  Piece,
  RunStatus,
  TurnStore,
} from '../port'
import { toTurnArgument } from '../turn-argument'
import { type Db, violated } from './db'
import { findRun } from './runs'

type BegunRow =
  | { outcome: 'not_found' | 'busy' }
  | {
      outcome: 'begun'
      conversation_id: string
      branch_id: string
      model: string
      system_prompt: string | null
      settings: Begun['settings']
      context: Begun['context']
    }

/** Turns are written by functions of the database (`migrations/0002_conversations.sql`): one round trip each. */
export class SqlTurns implements TurnStore {
  constructor(private readonly db: Db) {}

  async begin(owner: Owner, turn: BeginTurn): Promise<BeginResult> {
    const argument = storableJson(toArgument(turn))
    try {
      const begin = sql`select begin_turn(${owner.tenantId}, ${owner.userId}, ${argument}) as begun`
      const begun = await this.withMetadata(begin, turn)
      // What is in the way may be the very turn that the key made.
      if (begun?.outcome !== 'begun') {
        return (await this.repeated(owner, turn)) ?? { outcome: begun?.outcome ?? 'not_found' }
      }
      await this.keepRequest(turn)
      const { outcome, conversation_id, branch_id, model, system_prompt, settings, context } = begun
      return {
        outcome,
        conversationId: conversation_id,
        branchId: branch_id,
        answerId: turn.answerId,
        model,
        systemPrompt: system_prompt,
        settings,
        context,
      }
    } catch (error) {
      const repeated = violated(error) === 'runs_idempotency' && (await this.repeated(owner, turn))
      if (repeated) return repeated
      throw error
    }
  }

  /** Facts beside the answer are none of the function's words: a second statement in the same transaction. */
  private async withMetadata(begin: SQL, { metadata, answerId }: BeginTurn): Promise<BegunRow | undefined> {
    const run = async (db: Db) => (await db.execute<{ begun: BegunRow }>(begin)).rows[0]?.begun
    if (!metadata) return run(this.db)
    return this.db.transaction(async (tx) => {
      const begun = await run(tx)
      await tx.execute(sql`update messages set metadata = ${storableJson(metadata)}::jsonb where id = ${answerId}`)
      return begun
    })
  }

  /** Beside the turn, which has begun whether this is kept or not: an answer without it is closed when its process dies. */
  private async keepRequest({ request, runId }: BeginTurn): Promise<void> {
    if (!request) return
    const keep = sql`update runs set request = ${storableJson(request)}::jsonb where id = ${runId} and status = 'running'`
    await this.db.execute(keep).catch(() => {})
  }

  private async repeated(owner: Owner, { idempotency }: BeginTurn): Promise<BeginResult | undefined> {
    const run = idempotency && (await findRun(this.db, owner, { idempotencyKey: idempotency.key }))
    return run && { outcome: 'repeated', run }
  }

  async finish({ runId, instanceId, status, lastSeq, error, answer, metadata, timing, at }: FinishTurn): Promise<Kept> {
    const { finishReason: finish_reason, costNanos, ...rest } = answer
    const cost_nanos = costNanos === null ? null : String(costNanos)
    const turn = {
      run_id: runId,
      status,
      last_seq: lastSeq,
      error,
      provider: timing?.provider ?? null,
      first_token_ms: timing?.firstTokenMs ?? null,
      latency_ms: timing?.latencyMs ?? null,
      at,
      answer: { ...rest, finish_reason, cost_nanos },
    }
    // How it stood before: whether what is written now is written at all.
    const finish = sql`
      select (select r.status from runs r where r.id = ${runId}) as before, finish_turn(${storableJson(turn)})
      ${instanceId === undefined ? sql`` : unlessTaken(runId, instanceId)}`
    const write = async (db: Db): Promise<Kept> => {
      const [row] = (await db.execute<{ before: RunStatus | null }>(finish)).rows
      if (!row) return { closed: true }
      if (instanceId !== undefined) await db.execute(sql`update runs set request = null where id = ${runId}`)
      return row.before && row.before !== 'running' && row.before !== status ? { closed: true } : {}
    }
    if (!metadata) return write(this.db)
    // Rare, and not one of the function's words: a second statement in the same transaction.
    return this.db.transaction(async (tx) => {
      const kept = await write(tx)
      await tx.execute(sql`
        update messages m set metadata = coalesce(m.metadata, '{}') || ${storableJson(metadata)}::jsonb
        from runs r where r.id = ${runId} and m.id = r.message_id and m.conversation_id = r.conversation_id`)
      return kept
    })
  }

  async amend({ conversationId, messageId, usage, costNanos }: AmendedAnswer): Promise<boolean> {
    // The conversation first, like everything that locks more than one row of it.
    const { rows } = await this.db.execute(sql`
      with place as (select id from conversations where id = ${conversationId} for update)
      update messages m set usage = coalesce(m.usage, ${usage && storableJson(usage)}::jsonb),
        cost_nanos = coalesce(m.cost_nanos, ${String(costNanos)}::bigint)
      from place where m.conversation_id = place.id and m.id = ${messageId} and m.status <> 'streaming'
      returning m.id`)
    return rows.length > 0
  }

  async checkpoint(pieces: Piece[], instanceId?: string): Promise<void> {
    if (pieces.length === 0) return
    const rows = storableJson(pieces.map(({ runId, seq, text, anew }) => ({ run_id: runId, seq, text, anew })))
    // A run that finished or was deleted meanwhile keeps nothing.
    await this.db.execute(sql`
      with p as (
        select * from jsonb_to_recordset(${rows}::jsonb) as p(run_id uuid, seq int, text text, anew boolean)
      ), void as (
        delete from run_checkpoints c using p where p.anew and c.run_id = p.run_id and c.seq < p.seq
      )
      insert into run_checkpoints (run_id, seq, text)
      select p.run_id, p.seq, p.text
      from p
      join runs r on r.id = p.run_id and r.status = 'running'
        ${instanceId === undefined ? sql`` : sql`and r.instance_id = ${instanceId}`}
      on conflict do nothing`)
  }
}

/** No row when another process makes the run; none can take it then. The conversation is locked first, as everywhere. */
const unlessTaken = (runId: string, instanceId: string): SQL => sql`
  from (select) always left join (
    select r.instance_id from runs r join conversations c on c.id = r.conversation_id
    where r.id = ${runId} for update of c, r
  ) made on true
  where coalesce(made.instance_id = ${instanceId}, true)`

const toArgument = (turn: BeginTurn) => ({
  ...toTurnArgument(turn),
  answer_id: turn.answerId,
  run_id: turn.runId,
  instance_id: turn.instanceId,
  idempotency_key: turn.idempotency?.key ?? null,
  fingerprint: turn.idempotency?.fingerprint ?? null,
  trace_id: turn.trace?.traceId ?? null,
  span_id: turn.trace?.spanId ?? null,
})
