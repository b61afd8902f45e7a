import { expect, test } from 'bun:test'
import { newId } from '../../../src/lib/ids'
import { AT, after, type Given } from './given'

const LIMIT = 5

export function keysContract(given: () => Given): void {
  const keys = () => given().store.keys
  const newKey = (fields: { hash?: string; expiresAt?: Date | null } = {}) => ({
    id: newId(),
    name: 'laptop',
    lastFour: 'abcd',
    hash: newId(),
    createdAt: AT,
    expiresAt: null,
    ...fields,
  })

  test('finds the user behind a key and lists the key without its hash', async () => {
    const user = await given().user()
    const { hash, ...shown } = newKey()
    expect(await keys().create(user, { ...shown, hash }, LIMIT)).toEqual({ ...shown, lastUsedAt: null })
    expect(await keys().findUser(hash, after(1))).toEqual({ ...user, keyId: shown.id })
    expect(await keys().findUser(newId(), AT)).toBeUndefined()
    expect(await keys().list(user)).toEqual([{ ...shown, lastUsedAt: after(1) }])
  })

  test('says whose a key is, within a tenant', async () => {
    const user = await given().user()
    const { id } = await keys().create(user, newKey(), LIMIT)
    const { tenantId, userId } = user
    expect(await keys().ownerOf(tenantId, id)).toBe(userId)
    expect([await keys().ownerOf(newId(), id), await keys().ownerOf(tenantId, newId())]).toEqual([undefined, undefined])
  })

  test('notes the use of a key once a minute', async () => {
    const user = await given().user()
    const key = newKey()
    await keys().create(user, key, LIMIT)
    await keys().findUser(key.hash, AT)
    await keys().findUser(key.hash, after(60_000))
    expect((await keys().list(user))[0]?.lastUsedAt).toEqual(AT)
    await keys().findUser(key.hash, after(60_001))
    expect((await keys().list(user))[0]?.lastUsedAt).toEqual(after(60_001))
  })

  test('takes no key that expired and none of a disabled user', async () => {
    const user = await given().user()
    const [ending, lasting] = [newKey({ expiresAt: after(1000) }), newKey()]
    await keys().create(user, ending, LIMIT)
    await keys().create(user, lasting, LIMIT)
    expect(await keys().findUser(ending.hash, after(999))).toEqual({ ...user, keyId: ending.id })
    expect(await keys().findUser(ending.hash, after(1000))).toBeUndefined()
    await given().sql('update users set disabled_at = now() where id = $1', [user.userId])
    expect(await keys().findUser(lasting.hash, AT)).toBeUndefined()
  })

  test('holds the limit against twenty requests at once', async () => {
    const user = await given().user()
    const results = await Promise.allSettled(Array.from({ length: 20 }, () => keys().create(user, newKey(), LIMIT)))
    const refused = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []))
    expect(refused).toHaveLength(20 - LIMIT)
    for (const reason of refused) expect(reason).toMatchObject({ code: 'CONFLICT' })
    expect(await keys().list(user)).toHaveLength(LIMIT)
  })

  test('lets a deleted key make room and no longer open anything', async () => {
    const user = await given().user()
    const key = newKey()
    await keys().create(user, key, 1)
    expect(await keys().remove(user, key.id)).toBe(key.hash)
    expect(await keys().remove(user, key.id)).toBeUndefined()
    expect(await keys().findUser(key.hash, AT)).toBeUndefined()
    expect(await keys().create(user, newKey(), 1)).toMatchObject({ name: 'laptop' })
  })

  test('shows and deletes keys for their owner only', async () => {
    const [owner, other] = [await given().user(), await given().user()]
    const key = newKey()
    await keys().create(owner, key, LIMIT)
    expect(await keys().list(other)).toEqual([])
    expect(await keys().remove(other, key.id)).toBeUndefined()
    expect(await keys().findUser(key.hash, AT)).toEqual({ ...owner, keyId: key.id })
  })
}
