import { PGlite } from '@electric-sql/pglite'

/**
 * Remakes `pglite-template.tgz`, the empty cluster every new database starts from: `bun src/store/make-template.ts`.
 * Needed only when PGlite moves to another major version of Postgres.
 */
const db = await PGlite.create()
await db.exec('checkpoint')
const template = await db.dumpDataDir('gzip')
await db.close()
await Bun.write(new URL('pglite-template.tgz', import.meta.url), template)
