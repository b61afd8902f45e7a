import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { TestStore } from '../support/db'
import { accountsContract } from './contract/accounts'
import { archiveContract } from './contract/archive'
import { branchesContract } from './contract/branches'
import { budgetsContract } from './contract/budgets'
import { bulkContract } from './contract/bulk'
import { conversationsContract } from './contract/conversations'
import { feedbackContract } from './contract/feedback'
import { Given } from './contract/given'
import { deadClaimsContract, idempotencyContract } from './contract/idempotency'
import { keysContract } from './contract/keys'
import { ledgerContract } from './contract/ledger'
import { listingContract } from './contract/listing'
import { messagesContract } from './contract/messages'
import { orphansContract } from './contract/orphans'
import { claimsContract } from './contract/orphans-claimed'
import { outboxContract } from './contract/outbox'
import { peopleContract } from './contract/people'
import { runsContract } from './contract/runs'
import { searchContract } from './contract/search'
import { statsContract } from './contract/stats'
import { syncContract } from './contract/sync'
import { tenantsContract } from './contract/tenants'
import { turnsContract } from './contract/turns'
import { usageContract } from './contract/usage'

/**
 * What `store/port.ts` promises, for every adapter. @param keepsPeople whether accounts, keys and the runs of every
 * process are this store's, too; the Edge Function keeps conversations only.
 */
export function storeContract(
  kind: TestStore['store']['kind'],
  open: () => Promise<TestStore>,
  { keepsPeople = true } = {},
): void {
  describe(`the ${kind} store`, () => {
    let opened: TestStore
    beforeAll(async () => {
      opened = await open()
    })
    afterAll(() => opened.close())
    const given = () => new Given(opened)

    test('says what it is and that it is there', async () => {
      expect(opened.store.kind).toBe(kind)
      await opened.store.ping()
    })

    describe('turns', () => turnsContract(given))
    describe('runs', () => runsContract(given))
    describe('conversations', () => conversationsContract(given))
    describe('lists and trees', () => listingContract(given, { keepsAll: keepsPeople }))
    describe('idempotency', () => idempotencyContract(given))
    if (!keepsPeople) return
    describe('idempotency across processes', () => deadClaimsContract(given))
    describe('accounts', () => accountsContract(given))
    describe('keys', () => keysContract(given))
    describe('tenants', () => tenantsContract(given))
    describe('people', () => peopleContract(given))
    describe('archive', () => archiveContract(given))
    describe('bulk', () => bulkContract(given))
    describe('branches', () => branchesContract(given))
    describe('messages', () => messagesContract(given))
    describe('feedback', () => feedbackContract(given))
    describe('search', () => searchContract(given))
    describe('statistics', () => statsContract(given))
    describe('sync', () => syncContract(given))
    describe('orphans', () => orphansContract(given))
    describe('claimed orphans', () => claimsContract(given))
    describe('the ledger', () => ledgerContract(given))
    describe('budgets', () => budgetsContract(given))
    describe('usage', () => usageContract(given))
    describe('the outbox', () => outboxContract(given))
  })
}
