import { Database } from 'bun:sqlite'
import { chmodSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { lockDir } from '../../lib/dir-lock'
import type { Piece } from '../port'
import type { Row } from './rows'

/** An answer on disk that the Edge Function does not have yet. */
export interface Unsaved {
  runId: string
  userId: string
  row: Row
  /** Whether it may have been sent already. */
  sent: boolean
}

/**
 * Answers that are being written or could not be saved yet, on this server's disk, so that neither a crash nor an outage
 * of the other side loses them. Holds no token: whose answer it is has to come back to have it saved.
 */
export class Outbox {
  private readonly db: Database
  private readonly lock

  /** @throws Error that names the folder when it cannot be used, or when another process uses it. */
  constructor(dataDir: string) {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 })
    this.lock = lockDir(join(dataDir, 'outbox'), 'Stop it, or give this one another DATA_DIR.')
    const file = join(dataDir, 'outbox.sqlite')
    this.db = new Database(file, { create: true })
    chmodSync(file, 0o600)
    // Safe against a crash of this process at every commit; a power cut may cost the last moments.
    this.db.run('pragma journal_mode = wal')
    this.db.run('pragma synchronous = normal')
    this.db.run(`create table if not exists answers (
      run_id text primary key, user_id text not null, state text not null, row text not null) strict`)
    this.db.run(`create table if not exists pieces (
      run_id text not null references answers on delete cascade, seq integer not null, text text not null,
      primary key (run_id, seq)) strict`)
    this.db.run('pragma foreign_keys = on')
  }

  /** An answer begins; `row` is what is known of it. */
  begin(runId: string, userId: string, row: Row): void {
    this.db.query("insert into answers values (?, ?, 'writing', ?)").run(runId, userId, JSON.stringify(row))
  }

  /** What it has said since the last piece. */
  piece({ runId, seq, text, anew }: Piece): void {
    if (anew) this.db.query('delete from pieces where run_id = ? and seq < ?').run(runId, seq)
    this.db
      .query('insert or ignore into pieces select run_id, ?, ? from answers where run_id = ?')
      .run(seq, text, runId)
  }

  /** It is over and about to be sent. */
  finish(runId: string, row: Row): void {
    this.db.query("update answers set state = 'sent', row = ? where run_id = ?").run(JSON.stringify(row), runId)
  }

  remove(runId: string): void {
    this.db.query('delete from answers where run_id = ?').run(runId)
  }

  /** What an earlier process left: answers it could not save, and those it was still writing, as far as they got. */
  left(at: Date): Unsaved[] {
    const rows = this.db
      .query<{ run_id: string; user_id: string; state: string; row: string; text: string | null }, []>(
        `select a.*, (select group_concat(text, '') from (select text from pieces where run_id = a.run_id order by seq)) as text
        from answers a order by run_id`,
      )
      .all()
    return rows.map(({ run_id: runId, user_id: userId, state, row, text }) => {
      const known = JSON.parse(row) as Row
      const cut = { ...known, content: text ?? '', status: 'interrupted', completed_at: at.toISOString() }
      return { runId, userId, row: state === 'writing' ? cut : known, sent: state === 'sent' }
    })
  }

  close(): void {
    this.db.close()
    this.lock.release()
  }
}
