import { type SQL, sql } from 'drizzle-orm'
import { CLOSE, fromMarks, LESS, OPEN, occurrences, type Snippet } from '../../lib/snippet'
import type { Owner, SearchResult } from '../port'
import type { Db } from './db'

/** What counts as a typing error, as pg_trgm measures it, and how many of the newest messages are asked for the right word. */
const SIMILAR = 0.4
const ASKED = 5000
/** Characters around the first hit that a headline is made of: making one costs more than finding the message. */
const WINDOW = 3000

/** How a table is searched: which rows fit, how well, and the text that a snippet is made of. */
interface Look {
  fits: SQL
  rank: SQL
  text: SQL
}

/** One way to find something in messages `m` and in the titles of conversations `c`. */
export interface Way {
  method: SearchResult['method']
  messages: Look
  titles: Look
  snippet: (text: string) => Snippet
}

type Step = (tx: Pick<Db, 'execute'>, owner: Owner, asked: string) => Way | Promise<Way | undefined>

/** The ways to find something, each to be tried when those before it found nothing. */
export const WAYS: Step[] = [
  (_, owner, asked) => byWords(owner, asked),
  (_, owner, asked) => byPart(owner, asked),
  byLikeness,
]

const excludes = (asked: string) => /(^|\s)-/.test(asked)

/** Among the words of every text is whose it is, so that one index answers both. */
const ownWord = ({ userId }: Owner) => sql`${`'u:${userId}'`}::tsquery`

function byWords(owner: Owner, asked: string): Way {
  const russian = sql`websearch_to_tsquery('pg_catalog.russian', ${asked}::text)`
  const english = sql`websearch_to_tsquery('pg_catalog.english', ${asked}::text)`
  // The Russian words include the English ones, stemmed alike; the English ones add what only they know. But with both,
  // "without" would be true whenever one of the two does not find it.
  const query = excludes(asked) ? russian : sql`(${russian} || ${english})`
  const stems = sql`tsvector_to_array(to_tsvector('pg_catalog.russian', ${asked}::text))`
  return byQuery('words', owner, { query, stems })
}

/** What is looked for, and the stems of its words as an array. */
interface Words {
  query: SQL
  stems: SQL
}

function byQuery(method: Way['method'], owner: Owner, words: Words): Way {
  // Without a word that must be there, everything would be found.
  const useful = sql`querytree(${words.query}) not in ('', 'T')`
  const look = (row: SQL, text: SQL): Look => ({
    fits: sql`${useful} and ${row}.search @@ (${ownWord(owner)} && ${words.query})`,
    rank: sql`ts_rank_cd(${row}.search, ${words.query}, 33)`,
    text,
  })
  return {
    method,
    messages: look(sql`m`, headline(sql`m.content`, words)),
    titles: look(sql`c`, marked(sql`c.title`, words.query, 'HighlightAll=true')),
    snippet: fromMarks,
  }
}

const marked = (text: SQL, words: SQL, options: string) => sql`
  ts_headline('pg_catalog.russian', translate(${text}, ${`<${OPEN}${CLOSE}${LESS}`}::text, ${LESS}::text), ${words},
    ${`StartSel="${OPEN}", StopSel="${CLOSE}", ${options}`}::text)`

/** Of a long text the place where a word of the query seems to begin; where none does, all that is searched. */
function headline(text: SQL, { query, stems }: Words): SQL {
  const short = (part: SQL) => marked(part, query, 'MaxWords=30, MinWords=12')
  const searched = sql`left(${text}, 100000)`
  return sql`case when length(${text}) <= ${WINDOW}::int then ${short(text)} else (
    select case when strpos(part.shown, ${OPEN}::text) > 0 then part.shown else ${short(searched)} end from (
      select ${short(sql`substr(${text}, greatest(1, hit.place - 200), ${WINDOW}::int)`)} as shown from (
        select coalesce(min(nullif(strpos(small.text, word), 0)), 1) as place
        from (select lower(${searched}) as text offset 0) small, unnest(${stems}) word
      ) hit offset 0) part) end`
}

/** For parts of words, for signs, and for languages that put no spaces between words. */
function byPart(owner: Owner, asked: string): Way {
  const lower = sql`lower(${asked}::text)`
  const place = sql`strpos(lower(m.content), ${lower})`
  const around = sql`substr(m.content, greatest(1, ${place} - 80), 160 + length(${asked}::text))`
  return {
    method: 'substring',
    messages: { fits: sql`m.search @@ ${ownWord(owner)} and ${place} > 0`, rank: sql`0.5`, text: around },
    titles: { fits: sql`strpos(lower(c.title), ${lower}) > 0`, rank: sql`0.5`, text: sql`c.title` },
    snippet: (text) => occurrences(text, asked),
  }
}

/**
 * For typing errors: looks in what this person has for words that are written much like each of those asked for, and finds
 * these. To compare with every text would take ten times as long.
 */
async function byLikeness(tx: Pick<Db, 'execute'>, owner: Owner, asked: string): Promise<Way | undefined> {
  // Who excludes words or quotes a phrase means what is written.
  if (/"/.test(asked) || excludes(asked)) return undefined
  const { rows } = await tx.execute<{ similar: string[] | null }>(sql`
    with known as materialized (
      select distinct word from (
        (select search from messages m where m.search @@ ${ownWord(owner)} order by m.created_at desc limit ${ASKED})
        union all select search from conversations where user_id = ${owner.userId}
      ) texts, unnest(tsvector_to_array(search)) word where word not like 'u:%'
    )
    select (select array_agg(word) from (
      select word from known where abs(length(word) - length(asked.lexeme)) <= 3
        and similarity(word, asked.lexeme) >= ${SIMILAR}::float8 order by similarity(word, asked.lexeme) desc, word limit 5
    ) best) as similar
    from unnest(to_tsvector('pg_catalog.russian', ${asked}::text)) asked limit 20`)
  if (rows.length === 0 || rows.some(({ similar }) => similar === null)) return undefined
  const found = rows.map(({ similar }) => similar ?? [])
  const query = found.map((words) => `(${words.map(quoted).join(' | ')})`).join(' & ')
  return byQuery('similar', owner, { query: sql`${query}::tsquery`, stems: sql`${sql.param(found.flat())}::text[]` })
}

const quoted = (word: string) => `'${word.replaceAll(/['\\]/g, '$&$&')}'`
