import { type SQL, sql } from 'drizzle-orm'
import { AppError } from '../../errors'
import type { Snippet } from '../../lib/snippet'
import { storable } from '../../lib/text'
import type { Owner, SearchQuery, SearchResult, SearchStore } from '../port'
import type { Db } from './db'
import { WAYS, type Way } from './search-ways'

type Tx = Parameters<Parameters<Db['transaction']>[0]>[0]
type Page = { page: number; limit: number }

/** Milliseconds a statement may take: a search must not hold a connection that chats need. */
const TIME = 2000
/** Messages that are ranked, the newest ones; of more than these, an answer says that its total is an estimate. */
const COUNTED = 20_000
const MATCHES_SHOWN = 3
const TITLE_WEIGHT = 3
export class SqlSearch implements SearchStore {
  constructor(private readonly db: Db) {}

  async find(owner: Owner, { q, ...filter }: SearchQuery, page: Page): Promise<SearchResult> {
    const asked = storable(q).trim()
    const search = this.db.transaction(
      async (tx) => {
        // Compiling a statement takes longer than running it.
        await tx.execute(
          sql`select set_config('statement_timeout', ${String(TIME)}, true), set_config('jit', 'off', true)`,
        )
        for (const step of WAYS) {
          const way = await step(tx, owner, asked)
          const found = way && (await findBy(tx, way, { owner, filter, page }))
          if (found && found.total > 0) return found
        }
        return NOTHING
      },
      { isolationLevel: 'repeatable read', accessMode: 'read only' },
    )
    return search.catch((error) => {
      throw isTimeout(error) ? tooSlow(error) : error
    })
  }
}

const NOTHING: SearchResult = { method: 'words', items: [], total: 0, totalIsEstimate: false, models: [], months: [] }

interface Asked {
  owner: Owner
  filter: Omit<SearchQuery, 'q'>
  page: Page
}

/** A row of the page, with the best of its matches. */
interface Row {
  id: string
  title: string
  model: string | null
  updated_at: string
  score: number
  matches: { id: string | null; role: 'user' | 'assistant' | 'tool' | null; created_at: string }[]
}

type Answer = Pick<SearchResult, 'total' | 'models' | 'months'> & { matches: number; items: Row[] }

async function findBy(tx: Tx, way: Way, asked: Asked): Promise<SearchResult> {
  const { rows } = await tx.execute<{ answer: Answer }>(statement(way, asked))
  const { items = [], matches = 0, ...facts } = rows[0]?.answer ?? { total: 0, models: [], months: [] }
  const snippets = await snippetsOf(tx, way, items)
  return {
    method: way.method,
    ...facts,
    totalIsEstimate: matches > COUNTED,
    items: items.map(({ id, title, model, updated_at, score, matches: shown }) => ({
      conversation: { id, title, model, updatedAt: new Date(updated_at) },
      score,
      matches: shown.map((match) => ({
        messageId: match.id,
        role: match.role,
        createdAt: new Date(match.created_at),
        snippet: snippets.get(match.id ?? `title of ${id}`) ?? { text: '', highlights: [] },
      })),
    })),
  }
}

/** Everything but the texts: matches, the conversations they are in, their order, and the facets of all of them. */
function statement({ messages, titles }: Way, { owner, filter, page: { page, limit } }: Asked): SQL {
  const { model, from, before, minMessages, role } = filter
  const written = (column: SQL) => sql`${from ? sql`and ${column} >= ${from.toISOString()}::timestamptz` : sql``}
    ${before ? sql`and ${column} < ${before.toISOString()}::timestamptz` : sql``}`
  return sql`
    with said as materialized (
      select m.id, m.conversation_id, m.role, m.created_at, ${messages.rank}::float8 as rank from messages m
      where m.user_id = ${owner.userId} and ${messages.fits} ${role ? sql`and m.role = ${role}` : sql``}
        ${written(sql`m.created_at`)}
      order by m.created_at desc limit ${COUNTED + 1}
    ), named as materialized (
      select c.id as conversation_id, c.created_at, ${titles.rank}::float8 * ${TITLE_WEIGHT}::int as rank from conversations c
      where c.user_id = ${owner.userId} and ${titles.fits} and ${!role} ${written(sql`c.created_at`)}
    ), hits as materialized (
      select h.*, c.title, c.model, c.updated_at from (
        select id, conversation_id, role, created_at, rank from said
        union all select null, conversation_id, null, created_at, rank from named
      ) h join conversations c on c.id = h.conversation_id
      where c.user_id = ${owner.userId} and c.tenant_id = ${owner.tenantId}
        ${model === undefined ? sql`` : sql`and c.model = ${storable(model)}`}
        ${minMessages ? sql`and exists (select 1 from messages x where x.conversation_id = c.id offset ${minMessages - 1} limit 1)` : sql``}
    ), found as materialized (
      select conversation_id as id, title, model, updated_at,
        coalesce(max(rank) filter (where id is null), 0) + coalesce(max(rank) filter (where id is not null), 0) as score
      from hits group by 1, 2, 3, 4
    )
    select json_build_object(
      'total', (select count(*) from found),
      'matches', (select count(*) from said),
      'models', coalesce((select json_agg(f) from (
        select model, count(*) as conversations from found group by 1 order by 2 desc, 1 limit 50) f), '[]'),
      'months', coalesce((select json_agg(f) from (
        select to_char(created_at at time zone 'UTC', 'YYYY-MM') as month, count(distinct conversation_id) as conversations
        from hits group by 1 order by 1 desc limit 120) f), '[]'),
      'items', coalesce((select json_agg(p order by p.score desc, p.updated_at desc, p.id) from (
        select f.*, (select json_agg(b) from (
          select h.id, h.role, h.created_at from hits h where h.conversation_id = f.id
          order by h.id is not null, h.rank desc, h.created_at desc, h.id limit ${MATCHES_SHOWN}) b) as matches
        from found f order by f.score desc, f.updated_at desc, f.id limit ${limit} offset ${(page - 1) * limit}) p), '[]')
    ) as answer`
}

/** What is shown of each match, by the id of its message. */
async function snippetsOf(tx: Tx, { messages, titles, snippet }: Way, items: Row[]): Promise<Map<string, Snippet>> {
  const shown = items.flatMap(({ matches }) => matches.flatMap(({ id }) => id ?? []))
  const named = items.filter(({ matches }) => matches.some(({ id }) => id === null)).map(({ id }) => id)
  if (shown.length + named.length === 0) return new Map()
  const { rows } = await tx.execute<{ key: string; text: string }>(sql`
    select m.id::text as key, ${messages.text} as text from messages m where m.id = any(${sql.param(shown)}::uuid[])
    union all
    select 'title of ' || c.id, ${titles.text} from conversations c where c.id = any(${sql.param(named)}::uuid[])`)
  return new Map(rows.map(({ key, text }) => [key, snippet(text)]))
}

/** Postgres ended a statement because of its timeout. Drizzle keeps its error in `cause`. */
function isTimeout(error: unknown): boolean {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  return cause instanceof Error && 'code' in cause && cause.code === '57014'
}

const tooSlow = (cause: unknown) =>
  new AppError(
    'UPSTREAM_UNAVAILABLE',
    'The search took too long. Ask for rarer words, or for a month or a model only',
    {
      cause,
    },
  )
