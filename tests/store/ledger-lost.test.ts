import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { newId } from '../../src/lib/ids'
import { Journal } from '../../src/modules/billing/journal'
import { Settler } from '../../src/modules/billing/settler'
import type { LedgerStore, NewReservation } from '../../src/store/port-money'
import { openTestPostgres, type TestStore } from '../support/db'
import { until } from '../support/servers'
import { broken } from './bank'
import { AT, Given } from './contract/given'
import { amounts, funded, newReservation } from './contract/ledger-given'
import { newBeginning, newUsage } from './contract/money-given'

// Nobody waits until a reservation is on the disk: a database that dies may forget the last ones.

const dir = mkdtempSync(join(tmpdir(), 'orchestrator-lost-'))
let opened: TestStore
let given: Given
let ledger: LedgerStore
beforeAll(async () => {
  opened = await openTestPostgres()
  given = new Given(opened)
  ledger = given.store.ledger
})
afterAll(async () => {
  await opened.close()
  rmSync(dir, { recursive: true, force: true })
})

const settlerOn = (folder: string) =>
  new Settler({ ledger, journal: new Journal(folder, newId()), onWaiting: () => {}, onFault: () => {} })

async function forget({ id, amount, accountIds }: NewReservation): Promise<void> {
  await given.sql('delete from reservations where id = $1', [id])
  await given.sql('update accounts set reserved_nanos = reserved_nanos - $2 where id = any($1)', [
    accountIds,
    String(amount),
  ])
}

function settlementOf({ id, accountIds, optionalAccountIds, runId, expiresAt }: NewReservation, ownerId: string) {
  const reservation = { accountIds, optionalAccountIds, runId, expiresAt }
  return { id, amount: 30n, usage: newUsage({ id, userId: ownerId }), reservation, at: AT }
}

async function lost(balance: bigint) {
  const account = await funded(ledger, balance)
  const one = newReservation([account.id], 100n, {
    optionalAccountIds: [newId()],
    usage: newBeginning({ userId: account.ownerId }),
  })
  await ledger.reserve([one])
  await forget(one)
  return { account, settlement: settlementOf(one, account.ownerId) }
}

const recordsOf = async (userId: string) =>
  (await given.sql<{ n: number }>('select count(*)::int as n from usage_records where user_id = $1', [userId]))[0]?.n

test('charges once what was reserved and then forgotten', async () => {
  const { account, settlement } = await lost(1000n)
  const settler = settlerOn(join(dir, newId()))
  const settled = { outcome: 'settled', settled: 30n, uncollected: 0n } as const
  expect(await settler.settle(settlement)).toEqual(settled)
  expect(await settler.settle(settlement)).toEqual(settled)
  expect(await amounts(ledger, account.id)).toEqual({ balance: 970n, reserved: 0n, available: 970n })
  expect(await recordsOf(account.ownerId)).toBe(1)
  expect(await broken(given)).toEqual([])
})

test('charges what a process before this one left on disk likewise', async () => {
  const { account, settlement } = await lost(1000n)
  const folder = join(dir, newId())
  await new Journal(folder, 'a').add([settlement])
  const settler = settlerOn(folder)
  await settler.open()
  await until(() => settler.count === 0)
  expect(await amounts(ledger, account.id)).toEqual({ balance: 970n, reserved: 0n, available: 970n })
  await settler.close(0)
})

test('charges no more than there is', async () => {
  const { account, settlement } = await lost(100n)
  await ledger.reserve([newReservation([account.id], 80n)])
  expect(await settlerOn(join(dir, newId())).settle(settlement)).toEqual({
    outcome: 'settled',
    settled: 20n,
    uncollected: 10n,
  })
  expect(await broken(given)).toEqual([])
})

test('waits for the disk before a settlement is told, and for no reservation', async () => {
  const client = await opened.pool.connect()
  const after = async (call: string) => {
    await client.query('begin')
    await client.query(call)
    const { rows } = await client.query<{ synchronous_commit: string }>('show synchronous_commit')
    await client.query('rollback')
    return rows[0]?.synchronous_commit
  }
  expect(await after("select ledger_reserve('[]')")).toBe('off')
  expect(await after("select ledger_resolve('[]')")).toBe('on')
  client.release()
})
