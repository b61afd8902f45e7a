import { expect, test } from 'bun:test'
import { newId } from '../../../src/lib/ids'
import type { KeptAnswer, KeyClaim } from '../../../src/store/port'
import { AT, after, type Given } from './given'

const DAY = 24 * 3_600_000
const SILENT = 10

export const newClaim = (fields: Partial<KeyClaim> = {}): KeyClaim => ({
  key: newId(),
  operation: 'POST /v1/keys',
  fingerprint: 'the same',
  instanceId: newId(),
  at: AT,
  expiresAt: after(DAY),
  ...fields,
})

const answer: KeptAnswer = {
  status: 201,
  headers: { 'content-type': 'application/json', etag: '"1"' },
  body: new Uint8Array([0, 255, 10, 13, 128]),
}

export function idempotencyContract(given: () => Given): void {
  const keys = () => given().store.idempotency

  test('gives a key to the first, and its answer to all others', async () => {
    const user = await given().user()
    const claim = newClaim()
    expect(await keys().claim(user, claim, SILENT)).toEqual({ outcome: 'claimed' })
    await keys().complete(user, claim, answer)
    const again = await keys().claim(user, { ...claim, instanceId: newId(), at: after(DAY - 1) }, SILENT)
    expect(again).toEqual({ outcome: 'done', answer })
  })

  test('tells another request from the same, done or not', async () => {
    const user = await given().user()
    const claim = newClaim()
    const other = { ...claim, fingerprint: 'another' }
    await keys().claim(user, claim, SILENT)
    expect(await keys().claim(user, other, SILENT)).toEqual({ outcome: 'other' })
    await keys().complete(user, claim, answer)
    expect(await keys().claim(user, other, SILENT)).toEqual({ outcome: 'other' })
  })

  test('keeps the keys of two people apart', async () => {
    const [one, other] = [await given().user(), await given().user()]
    const claim = newClaim()
    expect(await keys().claim(one, claim, SILENT)).toEqual({ outcome: 'claimed' })
    expect(await keys().claim(other, claim, SILENT)).toEqual({ outcome: 'claimed' })
  })

  test('gives a released key away again', async () => {
    const user = await given().user()
    const claim = newClaim()
    await keys().claim(user, claim, SILENT)
    await keys().release(user, claim)
    const next = newClaim({ key: claim.key, fingerprint: 'another' })
    expect(await keys().claim(user, next, SILENT)).toEqual({ outcome: 'claimed' })
  })

  test('lets nobody end a claim that is not theirs any more', async () => {
    const user = await given().user()
    const old = newClaim()
    await keys().claim(user, old, SILENT)
    const claim = newClaim({ key: old.key, at: after(DAY), expiresAt: after(2 * DAY) })
    expect(await keys().claim(user, claim, SILENT)).toEqual({ outcome: 'claimed' })
    await keys().complete(user, old, { ...answer, status: 200 })
    await keys().release(user, old)
    await keys().complete(user, claim, answer)
    await keys().release(user, claim)
    expect(await keys().claim(user, claim, SILENT)).toEqual({ outcome: 'done', answer })
  })

  test('counts a key whose time is over as new, and forgets it', async () => {
    const user = await given().user()
    const [claim, lasting] = [newClaim(), newClaim({ expiresAt: after(DAY + 1) })]
    for (const each of [claim, lasting]) {
      await keys().claim(user, each, SILENT)
      await keys().complete(user, each, answer)
    }
    while ((await keys().prune(after(DAY), 1)) > 0);
    expect(await keys().claim(user, { ...claim, at: after(1) }, SILENT)).toEqual({ outcome: 'claimed' })
    expect(await keys().claim(user, { ...lasting, at: after(DAY) }, SILENT)).toEqual({ outcome: 'done', answer })
    const next = { ...lasting, at: after(DAY + 1), expiresAt: after(2 * DAY), fingerprint: 'another' }
    expect(await keys().claim(user, next, SILENT)).toEqual({ outcome: 'claimed' })
  })

  test('keeps empty answers', async () => {
    const user = await given().user()
    const claim = newClaim()
    const nothing = { status: 204, headers: {}, body: new Uint8Array() }
    await keys().claim(user, claim, SILENT)
    await keys().complete(user, claim, nothing)
    expect(await keys().claim(user, claim, SILENT)).toEqual({ outcome: 'done', answer: nothing })
  })
}

/** Where several processes share a store. */
export function deadClaimsContract(given: () => Given): void {
  const keys = () => given().store.idempotency

  test('waits for a process that lives', async () => {
    const user = await given().user()
    const claim = newClaim()
    await given().store.runs.heartbeat(claim.instanceId)
    await keys().claim(user, claim, SILENT)
    expect(await keys().claim(user, { ...claim, instanceId: newId() }, SILENT)).toEqual({ outcome: 'running' })
  })

  test('hands over what a dead process was working on, to the same request only', async () => {
    const user = await given().user()
    const claim = newClaim()
    await keys().claim(user, claim, SILENT)
    const heir = { ...claim, instanceId: newId(), at: after(1) }
    await given().store.runs.heartbeat(heir.instanceId)
    expect(await keys().claim(user, { ...heir, fingerprint: 'another' }, SILENT)).toEqual({ outcome: 'other' })
    expect(await keys().claim(user, heir, SILENT)).toEqual({ outcome: 'claimed' })
    expect(await keys().claim(user, claim, SILENT)).toEqual({ outcome: 'running' })
    await keys().complete(user, claim, { ...answer, status: 200 })
    await keys().complete(user, heir, answer)
    expect(await keys().claim(user, claim, SILENT)).toEqual({ outcome: 'done', answer })
  })

  test('hands nobody what is to be done once, until the time of its key is over', async () => {
    const user = await given().user()
    const claim = newClaim({ once: true })
    await given().store.runs.heartbeat(claim.instanceId)
    await keys().claim(user, claim, SILENT)
    const heir = { ...claim, instanceId: newId(), at: after(1) }
    expect(await keys().claim(user, heir, SILENT)).toEqual({ outcome: 'running' })
    await given().store.runs.leave(claim.instanceId)
    expect(await keys().claim(user, { ...heir, fingerprint: 'another' }, SILENT)).toEqual({ outcome: 'other' })
    expect(await keys().claim(user, heir, SILENT)).toEqual({ outcome: 'lost' })
    const next = { ...heir, at: after(2 * DAY), expiresAt: after(3 * DAY) }
    expect(await keys().claim(user, next, SILENT)).toEqual({ outcome: 'claimed' })
  })
}
