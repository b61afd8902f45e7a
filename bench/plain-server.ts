/**
 * This server with the books switched off: what it costs to have every answer paid for is the difference to it. Everything else
 * is the same code; the ledger grants and settles at once, in memory, and nothing is written.
 */
import { QuotaLedger } from '../src/store/ledger-quotas'
import type { LedgerStore } from '../src/store/port-money'

const free: Pick<LedgerStore, 'reserve' | 'settle' | 'void'> = {
  reserve: async (items) => items.map(() => ({ outcome: 'reserved', limited: false })),
  settle: async (items) => items.map(({ amount }) => ({ outcome: 'settled', settled: amount, uncollected: 0n })),
  void: async (ids) => ids.map(() => ({ outcome: 'voided' })),
}

Object.assign(QuotaLedger.prototype, free)
await import('../src/index')
