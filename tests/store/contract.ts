import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { TestStore } from '../support/db'
import { accountsContract } from './contract/accounts'
import { conversationsContract } from './contract/conversations'
import { Given } from './contract/given'
import { keysContract } from './contract/keys'
import { runsContract } from './contract/runs'
import { turnsContract } from './contract/turns'

/** What `store/port.ts` promises, for every adapter. */
export function storeContract(kind: TestStore['store']['kind'], open: () => Promise<TestStore>): void {
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

    describe('accounts', () => accountsContract(given))
    describe('keys', () => keysContract(given))
    describe('turns', () => turnsContract(given))
    describe('runs', () => runsContract(given))
    describe('conversations', () => conversationsContract(given))
  })
}
