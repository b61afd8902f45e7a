import { expect, test } from 'bun:test'
import { newId } from '../../src/lib/ids'
import { MemoryIdempotency } from '../../src/store/edge/idempotency'
import { newClaim } from './contract/idempotency'

const owner = { tenantId: newId(), userId: newId() }
const answer = (bytes: number) => ({ status: 200, headers: {}, body: new Uint8Array(bytes) })

/** Claims so many keys and answers them. */
async function filled(keys: MemoryIdempotency, count: number, bytes: number) {
  const claims = Array.from({ length: count }, () => newClaim())
  for (const claim of claims) {
    await keys.claim(owner, claim)
    await keys.complete(owner, claim, answer(bytes))
  }
  return async (i: number) => (await keys.claim(owner, claims.at(i) ?? newClaim())).outcome
}

test('forgets what was answered longest ago when there are too many keys', async () => {
  const outcome = await filled(new MemoryIdempotency({ entries: 2, bytes: 100 }), 3, 1)
  expect(await outcome(2)).toBe('done')
  expect(await outcome(1)).toBe('done')
  expect(await outcome(0)).toBe('claimed')
})

test('forgets what was answered longest ago when answers are too large together', async () => {
  const outcome = await filled(new MemoryIdempotency({ entries: 10, bytes: 100 }), 3, 40)
  expect([await outcome(0), await outcome(1), await outcome(2)]).toEqual(['claimed', 'done', 'done'])
})

test('forgets nothing that is being worked on', async () => {
  const keys = new MemoryIdempotency({ entries: 1, bytes: 100 })
  const claim = newClaim()
  await keys.claim(owner, claim)
  await filled(keys, 3, 1)
  expect(await keys.claim(owner, claim)).toEqual({ outcome: 'running' })
})
