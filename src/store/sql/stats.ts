import { sql } from 'drizzle-orm'
import type { Day } from '../../lib/days'
import type { Owner, StatsStore, UserStats } from '../port'
import type { Db } from './db'

const MODELS = 20
const MOST_ACTIVE = 5

/** Sums as texts: JSON has no integers as large as money may be. */
interface Sums {
  answers: number
  tokens: string
  cost: string
}

interface Answer {
  conversations: number
  archived: number
  branches: number
  messages: number
  prompt_tokens: string
  completion_tokens: string
  first_at: string | null
  last_at: string | null
  models: (Sums & { model: string })[]
  /** Those with messages; 1 is the first. */
  days: (Sums & { day: number; messages: number })[]
  active: { id: string; title: string; messages: number; last_at: string }[]
}

/** A number of tokens as a provider told it, if it told one. */
const tokens = (name: string) =>
  sql`case when jsonb_typeof(m.usage->${name}::text) = 'number' then (m.usage->>${name}::text)::numeric else 0 end`

export class SqlStats implements StatsStore {
  constructor(private readonly db: Db) {}

  async of(owner: Owner, { days }: { days: Day[] }): Promise<UserStats> {
    const { rows } = await this.db.execute<{ answer: Answer & Sums }>(statement(owner, days))
    const [row] = rows
    if (!row) throw new Error('The database returned no statistics')
    return toStats(row.answer, days)
  }
}

function statement({ userId, tenantId }: Owner, days: Day[]) {
  const beginnings = days.map(({ from }) => from.toISOString())
  const sums = sql`count(*) filter (where role = 'assistant') as answers, coalesce(sum(tokens), 0)::text as tokens,
    coalesce(sum(cost), 0)::text as cost`
  return sql`
    with mine as materialized (
      select id, title, archived_at from conversations where user_id = ${userId} and tenant_id = ${tenantId}
    ), said as materialized (
      select m.conversation_id, m.role, m.model, m.created_at, m.cost_nanos as cost, ${tokens('prompt_tokens')} as prompt_tokens,
        ${tokens('completion_tokens')} as completion_tokens, ${tokens('total_tokens')} as tokens
      from mine join messages m on m.conversation_id = mine.id
    ), by_day as (
      select width_bucket(created_at, ${sql.param(beginnings)}::timestamptz[]) as day, count(*) as messages, ${sums} from said
      where created_at >= ${beginnings[0] ?? 'infinity'}::timestamptz group by 1
    )
    select (select to_jsonb(s) from (
        select count(*) as messages, ${sums}, coalesce(sum(prompt_tokens), 0)::text as prompt_tokens,
          coalesce(sum(completion_tokens), 0)::text as completion_tokens, min(created_at) as first_at, max(created_at) as last_at
        from said) s)
      || jsonb_build_object(
        'conversations', (select count(*) from mine),
        'archived', (select count(*) from mine where archived_at is not null),
        'branches', (select count(*) from mine join branches b on b.conversation_id = mine.id),
        'models', coalesce((select jsonb_agg(x) from (
          select model, ${sums} from said where role = 'assistant' and model is not null
          group by 1 order by 2 desc, 1 limit ${MODELS}) x), '[]'),
        'days', coalesce((select jsonb_agg(to_jsonb(by_day)) from by_day), '[]'),
        'active', coalesce((select jsonb_agg(x) from (
          select mine.id, mine.title, count(*) as messages, max(said.created_at) as last_at
          from said join mine on mine.id = said.conversation_id
          group by 1, 2 order by 3 desc, 4 desc, 1 limit ${MOST_ACTIVE}) x), '[]')
      ) as answer`
}

const toSums = ({ answers, tokens: total, cost }: Sums) => ({
  answers,
  totalTokens: Number(total),
  costNanos: BigInt(cost),
})
const dateOf = (text: string | null) => (text === null ? null : new Date(text))

function toStats(a: Answer & Sums, days: Day[]): UserStats {
  const counted = new Map(a.days.map((row) => [row.day, row]))
  return {
    conversations: a.conversations,
    archived: a.archived,
    messages: a.messages,
    branches: a.branches,
    ...toSums(a),
    promptTokens: Number(a.prompt_tokens),
    completionTokens: Number(a.completion_tokens),
    firstMessageAt: dateOf(a.first_at),
    lastMessageAt: dateOf(a.last_at),
    models: a.models.map((row) => ({ model: row.model, ...toSums(row) })),
    days: days.map(({ date }, i) => {
      const { messages, ...row } = counted.get(i + 1) ?? { messages: 0, answers: 0, tokens: '0', cost: '0' }
      return { date, messages, ...toSums(row) }
    }),
    mostActive: a.active.map(({ id, title, messages, last_at }) => ({
      id,
      title,
      messages,
      lastMessageAt: new Date(last_at),
    })),
  }
}
