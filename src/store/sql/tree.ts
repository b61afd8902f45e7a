import { asc, eq, sql } from 'drizzle-orm'
import type { ConversationStats, Owner, PlacedMessage } from '../port'
import { branches, messages } from '../schema'
import { branchRows } from './branches'
import { messageColumns } from './columns'
import { type Db, only } from './db'
import { findConversation } from './own'

/** Branches that a tree brings along. */
const MAX_BRANCHES = 1000

/** One page of all messages, and what they belong to, as of one moment. */
export function readTree(db: Db, owner: Owner, id: string, { page, limit }: { page: number; limit: number }) {
  return db.transaction(
    async (tx) => {
      const conversation = await findConversation(tx, owner, id)
      if (!conversation) return undefined
      const [total] = (
        await tx.execute<{ n: number }>(sql`select count(*)::int as n from messages where conversation_id = ${id}`)
      ).rows
      return {
        conversation,
        branches: await branchRows(tx)
          .where(eq(branches.conversationId, id))
          .orderBy(asc(branches.createdAt), asc(branches.id))
          .limit(MAX_BRANCHES),
        items: await pageOf(tx, id, { limit, offset: (page - 1) * limit }),
        total: Number(total?.n),
      }
    },
    { isolationLevel: 'repeatable read', accessMode: 'read only' },
  )
}

type Reader = Pick<Db, 'select'>

/** The places among alternatives are counted in one walk through an index; only the page's messages are read whole. */
const pageOf = (
  db: Reader,
  id: string,
  { limit, offset }: { limit: number; offset: number },
): Promise<PlacedMessage[]> =>
  db
    .select({ ...messageColumns, siblings: sql<PlacedMessage['siblings']>`place` })
    .from(messages)
    .innerJoin(
      sql`(select id as page_id, json_build_object('index', at, 'count', count, 'prev', prev, 'next', next) as place
        from (
          select id, created_at, depth, row_number() over alike as at, count(*) over (partition by parent_id),
            lag(id) over alike as prev, lead(id) over alike as next
          from messages where conversation_id = ${id} window alike as (partition by parent_id order by id)
        ) placed order by created_at, depth, id limit ${limit} offset ${offset}) page`,
      sql`page_id = ${messages.id}`,
    )
    .where(eq(messages.conversationId, id))
    .orderBy(asc(messages.createdAt), asc(messages.depth), asc(messages.id))

interface Counted {
  messages: number
  answers: number
  branches: number
  prompt: string
  completion: string
  total: string
  cost: string
  models: { model: string; answers: number }[]
  first: Date | null
  last: Date | null
}

/** Providers may say anything of usage: what is no number counts as none. */
const tokens = (name: string) =>
  sql`case when jsonb_typeof(usage->${name}::text) = 'number' then (usage->>${name}::text)::numeric end`

/** Adds up a conversation, all branches of it. */
export async function readStats(db: Db, owner: Owner, id: string): Promise<ConversationStats | undefined> {
  if (!(await findConversation(db, owner, id))) return undefined
  const { rows } = await db.execute<Counted & Record<string, unknown>>(sql`
    with said as materialized (
      select role, model, cost_nanos, created_at, ${tokens('prompt_tokens')} as prompt,
        ${tokens('completion_tokens')} as completion, ${tokens('total_tokens')} as total
      from messages where conversation_id = ${id})
    select count(*)::int as messages, (count(*) filter (where role = 'assistant'))::int as answers,
      (select count(*)::int from branches where conversation_id = ${id}) as branches,
      coalesce(sum(prompt), 0) as prompt, coalesce(sum(completion), 0) as completion,
      coalesce(sum(coalesce(total, prompt + completion, prompt, completion)), 0) as total,
      coalesce(sum(cost_nanos), 0)::text as cost, min(created_at) as first, max(created_at) as last,
      (select coalesce(json_agg(used), '[]') from (
        select model, count(*)::int as answers from said where role = 'assistant' and model is not null
        group by model order by 2 desc, 1 limit 100) used) as models
    from said`)
  return toStats(only(rows))
}

const toStats = ({ messages, answers, branches, models, ...row }: Counted): ConversationStats => ({
  messages,
  branches,
  answers,
  promptTokens: Number(row.prompt),
  completionTokens: Number(row.completion),
  totalTokens: Number(row.total),
  costNanos: BigInt(row.cost),
  models,
  firstMessageAt: row.first && new Date(row.first),
  lastMessageAt: row.last && new Date(row.last),
})
