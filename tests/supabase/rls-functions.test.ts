import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { randomUUID } from 'node:crypto'
import { escapeIdentifier } from 'pg'
import { canaryOf, type Rows } from './rows'
import { TwoPeople } from './two-people'

// Whoever has a project's public key and a token can send any statement that PostgREST knows. What it may do to the rows of
// others is asked here in SQL, of every function that the catalogue knows, so that new ones join by themselves.

let two: TwoPeople
let a: Rows
let b: Rows
beforeAll(async () => {
  two = await TwoPeople.open()
  ;({ a, b } = two)
})
afterAll(() => two.database.drop())

describe('every function', () => {
  interface Fn {
    name: string
    args: string[]
    id: string
  }
  const functions = async (condition: string): Promise<Fn[]> => {
    const { rows } = await two.database.pool.query(
      `select oid::regprocedure::text as id, proname as name,
         array(select format_type(t, null) from unnest(proargtypes) t) as args
       from pg_proc where pronamespace = 'public'::regnamespace and (${condition})
         -- Those of extensions reckon with what they are given and read no table.
         and not exists (select from pg_depend where objid = pg_proc.oid and deptype = 'e')
       order by 1`,
    )
    return rows
  }

  test('has a search path of its own and no rights but those of its caller, unless it is a trigger', async () => {
    expect(await functions(`not coalesce(array_to_string(proconfig, ',') like '%search_path%', false)`)).toEqual([])
    expect(await functions(`prosecdef and prorettype <> 'trigger'::regtype`)).toEqual([])
  })

  test('is closed to strangers, and what acts for anybody is closed to everybody', async () => {
    expect(await functions(`has_function_privilege('anon', oid, 'execute')`)).toEqual([])
    const open = await functions(`has_function_privilege('authenticated', oid, 'execute')`)
    const names = open.map(({ name }) => name)
    for (const name of ['conversation_manager', 'begin_turn', 'finish_turn']) expect(names).not.toContain(name)
    expect(names).toContain('append_messages')
    const forged = await two.try('select conversation_manager($1, $2, $3)', [
      { sub: a.user },
      'conversations',
      { page: 1, limit: 9 },
    ])
    expect(forged).toBe('42501')
  })

  test("that a person may call tells and changes nothing of somebody else's", async () => {
    const open = await functions(`has_function_privilege('authenticated', oid, 'execute')`)
    expect(open.length).toBeGreaterThan(10)
    for (const fn of open) {
      for (const values of argumentsFor(fn.args)) {
        await two.asB(async (run, owner) => {
          const before = await two.rowsOfA(owner)
          const said = await run(
            `select ${escapeIdentifier(fn.name)}(${fn.args.map((type, i) => `$${i + 1}::${type}`)})::text as said`,
            values,
          )
          expect({ fn: fn.id, values, said: JSON.stringify(said) }).not.toMatchObject({
            said: expect.stringContaining(canaryOf(a.user)),
          })
          expect({ fn: fn.id, values, now: await two.rowsOfA(owner) }).toEqual({ fn: fn.id, values, now: before })
        })
      }
    }
  })

  /** Ids of A's in every place where an id may stand. */
  function argumentsFor(types: string[]): unknown[][] {
    return [a.conversation, a.question, a.answer, a.branch, a.user].flatMap((id) =>
      [b.conversation, a.conversation].map((conversation) => types.map((type) => argument(type, id, conversation))),
    )
  }

  function argument(type: string, id: string, conversation: string): unknown {
    if (type === 'uuid' || type === 'text') return id
    if (type === 'integer' || type === 'bigint') return 100
    if (type.startsWith('timestamp')) return new Date()
    if (type !== 'jsonb' && type !== 'json') return null
    const place = { conversation_id: a.conversation, message_id: a.question, branch_id: a.branch, parent_id: id }
    const answer = {
      ...place,
      conversation_id: conversation,
      message_id: randomUUID(),
      content: 'x',
      status: 'complete',
      created_at: new Date(),
    }
    const turn = {
      is_new: false,
      conversation: { id: conversation, parent_id: id },
      messages: [{ id: randomUUID(), role: 'user', content: 'x', extra: null }],
      branch_id: a.branch,
      max_context: 100,
      at: new Date(),
    }
    return {
      ...turn,
      ...place,
      ...answer,
      turn,
      answer,
      conversation_id: conversation,
      patch: { title: 'x' },
      page: 1,
      limit: 100,
      max_messages: 100,
    }
  }
})
