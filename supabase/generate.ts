/**
 * `bun run supabase:migrations`: writes the server's own migrations once more in the form that `supabase db push` applies.
 * Run it after `bun run migration`. Other files of that folder are written by hand and are left alone.
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { readMigrationFiles } from 'drizzle-orm/migrator'

const SERVER = join(import.meta.dir, '../src/store/migrations')
const HEADER = '-- Generated from src/store/migrations by `bun run supabase:migrations`. Do not edit.\n'
export const FOLDER = join(import.meta.dir, 'migrations')

/** What belongs in the folder: name of a file to its text. */
export function supabaseMigrations(): Map<string, string> {
  const { entries } = JSON.parse(readFileSync(join(SERVER, 'meta/_journal.json'), 'utf8')) as {
    entries: { tag: string }[]
  }
  const known = new Set<string>()
  return new Map(
    readMigrationFiles({ migrationsFolder: SERVER }).map(({ folderMillis, hash }, i) => {
      const tag = entries[i]?.tag ?? ''
      const sql = readFileSync(join(SERVER, `${tag}.sql`), 'utf8').trim()
      const parts = [HEADER, `${sql.replace(/;?$/, ';')}\n`, closeDoors(sql, known), journal(hash, folderMillis)]
      return [`${stamp(folderMillis)}_${tag}.sql`, parts.join('\n')]
    }),
  )
}

/** Supabase's API would offer what is new to everybody, so it starts closed; a migration written by hand opens it. */
function closeDoors(sql: string, known: Set<string>): string {
  const tables = [...sql.matchAll(/^CREATE TABLE "(\w+)"/gm)].map(([, name]) => `public.${name}`)
  const functions = [...sql.matchAll(/^CREATE (?:OR REPLACE )?FUNCTION (\w+)\(/gm)].map(([, name]) => `public.${name}`)
  const lines = [
    ...tables.flatMap((name) => [
      `alter table ${name} enable row level security;`,
      `revoke all on ${name} from anon, authenticated;`,
    ]),
    // To replace a function keeps who may call it and drops its settings.
    ...functions.map((name) => `alter function ${name} set search_path = public, pg_temp;`),
    ...functions
      .filter((name) => !known.has(name))
      .map((name) => `revoke execute on function ${name} from public, anon, authenticated;`),
  ]
  for (const name of functions) known.add(name)
  return lines.map((line) => `${line}\n`).join('')
}

/** Tells the server, which may be started on the same database one day, that it need not migrate. */
const journal = (hash: string, when: number) => `create schema if not exists drizzle;
create table if not exists drizzle.__drizzle_migrations (id serial primary key, hash text not null, created_at bigint);
insert into drizzle.__drizzle_migrations (hash, created_at) values ('${hash}', ${when});
`

/** The version of a Supabase migration: YYYYMMDDHHMMSS. */
const stamp = (when: number) => new Date(when).toISOString().replace(/\D/g, '').slice(0, 14)

if (import.meta.main) {
  for (const file of readdirSync(FOLDER)) {
    if (readFileSync(join(FOLDER, file), 'utf8').startsWith(HEADER)) rmSync(join(FOLDER, file))
  }
  for (const [file, text] of supabaseMigrations()) writeFileSync(join(FOLDER, file), text)
}
