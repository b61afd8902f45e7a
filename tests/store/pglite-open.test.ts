import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Pool } from 'pg'
import { openPglite } from '../../src/store/pglite'

const root = realpathSync(mkdtempSync(join(tmpdir(), 'pglite-')))
const children = new Set<Bun.Subprocess>()

afterAll(async () => {
  for (const child of children) child.kill('SIGKILL')
  await Promise.all([...children].map((child) => child.exited))
  rmSync(root, { recursive: true, force: true })
})

/** A process that has imported `openPglite` and runs `body`. */
const run = (body: string) => {
  const opener = JSON.stringify(join(import.meta.dir, '../../src/store/pglite.ts'))
  const script = `const { openPglite } = await import(${opener}); ${body}`
  const child = Bun.spawn([process.execPath, '-e', script], {
    stdout: 'pipe',
    stderr: 'inherit',
  })
  children.add(child)
  return child
}

const kill = async (child: Bun.Subprocess) => {
  child.kill('SIGKILL')
  await child.exited
}

/** Reads what the child prints until `enough` is true for all of it, and returns the lines that are complete. */
const linesUntil = async (child: { stdout: ReadableStream<Uint8Array> }, enough: (lines: string[]) => boolean) => {
  const decoder = new TextDecoder()
  let text = ''
  for await (const part of child.stdout) {
    text += decoder.decode(part, { stream: true })
    if (enough(text.split('\n').slice(0, -1))) break
  }
  return text.split('\n').slice(0, -1)
}

/** Counts the turns of this thread's event loop, every five milliseconds, while `work` runs. */
const ticksDuring = async (work: Promise<unknown>) => {
  let ticks = 0
  const timer = setInterval(() => ticks++, 5)
  await work.finally(() => clearInterval(timer))
  return ticks
}

const code = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'no error',
    (error) => error.code,
  )

describe('a database in memory', () => {
  let pool: Pool
  let close: () => Promise<void>

  beforeAll(async () => {
    ;({ pool, close } = await openPglite())
    await pool.query('create table notes (id int primary key, body text unique, done boolean not null default false)')
  }, 20_000)
  afterAll(() => close())

  test('creates, reads, changes and removes rows', async () => {
    await pool.query('insert into notes (id, body) values ($1, $2), ($3, $4)', [1, 'one', 2, 'two'])
    expect((await pool.query('update notes set done = true where id = $1', [1])).rowCount).toBe(1)
    expect((await pool.query('select * from notes where id <= 2 order by id')).rows).toEqual([
      { id: 1, body: 'one', done: true },
      { id: 2, body: 'two', done: false },
    ])
    expect((await pool.query('delete from notes where id <= 2')).rowCount).toBe(2)
  })

  test('passes values of every kind there and back, as node-postgres does for any Postgres', async () => {
    const at = new Date('2024-02-29T12:34:56.789Z')
    const id = 'a4d1e7a0-6c5b-4e0e-9d53-2f2f5f3ad0c1'
    const text = 'naïve — 東京 🦀 "quoted" \\ \n\t end'
    const { rows } = await pool.query(
      `select $1::int i, $2::bigint b, $3::timestamptz at, $4::jsonb j, $5::uuid u, $6::int[] ints, $7::text[] texts,
        $8::text t, $9::numeric n, $10::bytea bytes, $11::boolean yes, $12::text nothing, $13::float8 f`,
      [
        -7,
        '9007199254740993',
        at,
        JSON.stringify({ a: [1, { b: null }], t: text }),
        id,
        [1, 2, 3],
        ['x', text, 'NULL'],
        text,
        '1.50',
        Buffer.from([0, 255, 1]),
        true,
        null,
        0.1,
      ],
    )
    expect(rows[0]).toEqual({
      i: -7,
      b: '9007199254740993',
      at,
      j: { a: [1, { b: null }], t: text },
      u: id,
      ints: [1, 2, 3],
      texts: ['x', text, 'NULL'],
      t: text,
      n: '1.50',
      bytes: Buffer.from([0, 255, 1]),
      yes: true,
      nothing: null,
      f: 0.1,
    })
  })

  test('carries replies and parameters of several megabytes', async () => {
    const long = 'ä'.repeat(3_000_000)
    const { rows } = await pool.query('select $1::text as long, length($1::text) as size', [long])
    expect(rows[0].size).toBe(3_000_000)
    expect(rows[0].long === long).toBe(true)
    const many = await pool.query("select g, repeat('x', 50) as pad from generate_series(1, 50000) g")
    expect(many.rows).toHaveLength(50_000)
    expect(many.rows.at(-1)).toEqual({ g: 50_000, pad: 'x'.repeat(50) })
  }, 20_000)

  test('reports a fault with its SQLSTATE and goes on', async () => {
    await pool.query("insert into notes (id, body) values (10, 'taken')")
    expect(await code(pool.query("insert into notes (id, body) values (11, 'taken')"))).toBe('23505')
    expect(await code(pool.query('selec 1'))).toBe('42601')
    expect(await code(pool.query('select * from missing'))).toBe('42P01')
    expect(await code(pool.query('select $1::int', ['x']))).toBe('22P02')
    expect((await pool.query('select body from notes where id = 10')).rows).toEqual([{ body: 'taken' }])
  })

  test('commits and rolls back, also after a fault inside the transaction', async () => {
    const client = await pool.connect()
    await client.query('begin')
    await client.query("insert into notes (id, body) values (20, 'kept')")
    await client.query('commit')
    await client.query('begin')
    await client.query("insert into notes (id, body) values (21, 'dropped')")
    expect(await code(client.query("insert into notes (id, body) values (20, 'again')"))).toBe('23505')
    expect(await code(client.query('select 1'))).toBe('25P02')
    await client.query('rollback')
    expect((await client.query('select id from notes where id in (20, 21)')).rows).toEqual([{ id: 20 }])
    client.release()
  })

  test('undoes what a client leaves behind when it goes', async () => {
    const client = await pool.connect()
    await client.query("set timezone to 'Asia/Tokyo'")
    await client.query('create temp table scratch (id int)')
    await client.query('begin')
    await client.query("insert into notes (id, body) values (30, 'unfinished')")
    client.release(true)
    expect((await pool.query('select id from notes where id = 30')).rows).toEqual([])
    expect(await code(pool.query('select * from scratch'))).toBe('42P01')
    expect((await pool.query('show timezone')).rows).toEqual([{ TimeZone: 'UTC' }])
  })

  test('prepares a named statement again after a fault has ended the session', async () => {
    const named = { name: 'double', text: 'select $1::int * 2 as twice' }
    expect((await pool.query({ ...named, values: [2] })).rows).toEqual([{ twice: 4 }])
    await code(pool.query('selec'))
    expect((await pool.query({ ...named, values: [3] })).rows).toEqual([{ twice: 6 }])
  })

  test('answers fifty queries at once, each with its own answer', async () => {
    const numbers = Array.from({ length: 50 }, (_, n) => n)
    const answers = await Promise.all(numbers.map((n) => pool.query('select $1::int as n', [n])))
    expect(answers.map(({ rows }) => rows[0].n)).toEqual(numbers)
  })

  test('leaves the event loop free while it works', async () => {
    expect(await ticksDuring(pool.query('select pg_sleep(1)'))).toBeGreaterThan(20)
    const heavy = pool.query(
      'select count(*)::int n, max(md5(g::text)) from generate_series(1, 500000) g where g % 3 > 0',
    )
    expect(await ticksDuring(heavy)).toBeGreaterThan(5)
    expect((await heavy).rows[0].n).toBe(333_334)
  }, 20_000)

  test('has the extensions for searching text', async () => {
    await pool.query('create extension if not exists pg_trgm')
    await pool.query('create extension if not exists unaccent')
    await pool.query('create index on notes using gin (body gin_trgm_ops)')
    const { rows } = await pool.query("select unaccent('Crème') as plain, similarity('word', 'words') > 0.5 as near")
    expect(rows).toEqual([{ plain: 'Creme', near: true }])
  })
})

describe('an engine that dies', () => {
  test('fails every waiting and later query with the reason, and still closes', async () => {
    let heard: Error | undefined
    const { pool, close } = await openPglite({
      onError: (error) => {
        heard = error
      },
    })
    await pool.query(
      'create function endless(n int) returns int language plpgsql as $$ begin return endless(n + 1); end $$',
    )
    const client = await pool.connect()
    const stopped = 'the embedded database has stopped'
    const waiting = pool.query('select 1').catch((error: Error) => error.message)
    expect(await client.query('select endless(1)').catch((error: Error) => error.message)).toStartWith(stopped)
    client.release()
    expect(await waiting).toStartWith(stopped)
    expect(await pool.query('select 2').catch((error: Error) => error.message)).toStartWith(stopped)
    expect(heard?.message).toStartWith(stopped)
    await close()
    await close()
  }, 20_000)
})

describe('a database on disk', () => {
  test('keeps its data, is nobody else’s to read, and is closed cleanly', async () => {
    const dataDir = join(root, 'kept/postgres')
    const first = await openPglite({ dataDir })
    expect((await first.pool.query('show fsync')).rows).toEqual([{ fsync: 'on' }])
    await first.pool.query('create table t as select 42 as n')
    await Promise.all([first.close(), first.close()])
    await first.close()
    expect(statSync(dataDir).mode & 0o777).toBe(0o700)
    // Bytes 16–19 of the control file are the state; 1 is "shut down".
    expect(readFileSync(join(dataDir, 'global/pg_control')).readUInt32LE(16)).toBe(1)

    const second = await openPglite({ dataDir, fsync: false })
    expect((await second.pool.query('show fsync')).rows).toEqual([{ fsync: 'off' }])
    expect((await second.pool.query('select n from t')).rows).toEqual([{ n: 42 }])
    await second.close()
  }, 30_000)

  test('lets the process end once it is closed', async () => {
    const child = run(`
      const { pool, close } = await openPglite({ dataDir: ${JSON.stringify(join(root, 'ends'))} })
      await pool.query('select 1'); await close(); console.log('closed')`)
    expect(await new Response(child.stdout).text()).toBe('closed\n')
    expect(await child.exited).toBe(0)
  }, 30_000)

  test('refuses a second process, says why, and lets it in when the first is dead', async () => {
    const dataDir = join(root, 'shared')
    const child = run(`await openPglite({ dataDir: ${JSON.stringify(dataDir)} }); console.log('open')`)
    await linesUntil(child, (lines) => lines.includes('open'))
    const refusal = openPglite({ dataDir }).catch((error: Error) => error.message)
    expect(await refusal).toMatch(
      new RegExp(`shared is in use by process ${child.pid} .* stop that process, .* DATABASE_URL or another DATA_DIR`),
    )
    await kill(child)
    const { pool, close } = await openPglite({ dataDir })
    await pool.query('select 1')
    await close()
  }, 30_000)

  test('has every acknowledged row after the process was killed in the middle of writing', async () => {
    const dataDir = join(root, 'killed')
    for (let round = 0; round < 2; round++) {
      const child = run(`
        const { pool } = await openPglite({ dataDir: ${JSON.stringify(dataDir)} })
        await pool.query('create table if not exists rows (id serial primary key, pad text)')
        for (;;) {
          const { rows } = await pool.query("insert into rows (pad) values (repeat('x', 500)) returning id")
          console.log(rows[0].id)
        }`)
      const acknowledged = await linesUntil(child, (lines) => lines.length > 200)
      await kill(child)
      const { pool, close } = await openPglite({ dataDir })
      const { rows } = await pool.query('select id from rows')
      await close()
      const present = new Set(rows.map(({ id }) => String(id)))
      expect(acknowledged.filter((id) => !present.has(id))).toEqual([])
    }
  }, 60_000)

  test('starts again after it was killed while the database was being made', async () => {
    const dataDir = join(root, 'halfway')
    const child = run(`await openPglite({ dataDir: ${JSON.stringify(dataDir)} })`)
    while (!existsSync(`${dataDir}.new/base`)) await Bun.sleep(1)
    await kill(child)
    expect(existsSync(dataDir)).toBe(false)
    writeFileSync(`${dataDir}.new/PG_VERSION`, 'half')
    const { pool, close } = await openPglite({ dataDir })
    expect((await pool.query('select count(*)::int > 0 as whole from pg_class')).rows).toEqual([{ whole: true }])
    await close()
    expect(existsSync(`${dataDir}.new`)).toBe(false)
  }, 30_000)

  test('uses an empty directory, and refuses one with other things in it', async () => {
    const empty = join(root, 'empty')
    mkdirSync(empty)
    const { close } = await openPglite({ dataDir: empty })
    await close()
    const other = join(root, 'other')
    mkdirSync(other)
    writeFileSync(join(other, 'letter.txt'), 'mine')
    // Twice: the first failure must have let go of the lock.
    for (let attempt = 0; attempt < 2; attempt++) {
      const outcome = await openPglite({ dataDir: other }).catch((error: Error) => error.message)
      expect(outcome).toContain('is not empty and holds no database')
    }
    expect(readFileSync(join(other, 'letter.txt'), 'utf8')).toBe('mine')
  }, 30_000)
})
