import { expect, test } from 'bun:test'
import { newId } from '../../../src/lib/ids'
import type { User } from '../../../src/store/port'
import { AT, after, atOnce, type Given, newUser } from './given'

const GRACE = 10_000

export function accountsContract(given: () => Given): void {
  const accounts = () => given().store.accounts

  /** A session of a new user and the hash of its refresh token. */
  const session = async (user?: User) => {
    const owner = user ?? (await given().user())
    const [id, hash] = [newId(), newId()]
    const expiresAt = after(60_000)
    await accounts().openSession({ id, userId: owner.userId, refreshHash: hash, at: AT, expiresAt })
    return { user: owner, id, hash }
  }
  const disable = ({ userId }: User) => given().sql('update users set disabled_at = now() where id = $1', [userId])
  const chainLength = (sessionId: string) => given().count('refresh_tokens', 'session_id', sessionId)

  test('makes an account and finds it by its e-mail', async () => {
    const wanted = newUser({ name: 'Ada', passwordHash: 'secret-hash' })
    const { id: userId, tenantId, email, name, at: createdAt } = wanted
    const user = { userId, tenantId, email, name, createdAt, role: 'user' as const, litellmKey: null }
    expect(await accounts().create(wanted)).toEqual(user)
    expect(await accounts().findByEmail(String(email))).toEqual({ user, passwordHash: 'secret-hash' })
    expect(await accounts().findByEmail('nobody@example.com')).toBeUndefined()
  })

  test('takes e-mails as they come: making them lower case is the work of its caller', async () => {
    const { email } = await given().user()
    expect(await accounts().findByEmail(String(email).toUpperCase())).toBeUndefined()
  })

  test('lets one of many at once have an e-mail', async () => {
    const email = `${newId()}@example.com`
    const results = await Promise.allSettled(Array.from({ length: 20 }, () => accounts().create(newUser({ email }))))
    const refused = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []))
    expect(refused).toHaveLength(19)
    for (const reason of refused) expect(reason).toMatchObject({ name: 'AppError', code: 'CONFLICT' })
    expect(await given().count('users', 'email', email)).toBe(1)
  })

  test('changes a password hash', async () => {
    const { userId, email } = await given().user()
    await accounts().setPasswordHash(userId, 'newer')
    expect(await accounts().findByEmail(String(email))).toMatchObject({ passwordHash: 'newer' })
  })

  const outside = (subject: string, fields = {}) =>
    newUser({ passwordHash: null, issuer: 'https://issuer.example', subject, ...fields })

  test('adopts an outside identity once, however many ask at once', async () => {
    const subject = newId()
    const users = await atOnce(20, () => accounts().adopt(outside(subject)))
    expect(new Set(users.map((user) => user?.userId)).size).toBe(1)
    expect(users[0]?.userId).toBeString()
    expect(await given().count('users', 'subject', subject)).toBe(1)
  })

  test('keeps issuers apart, and an outside identity apart from the account with its e-mail or its id', async () => {
    const local = await given().user()
    const subject = newId()
    const one = await accounts().adopt(outside(subject, { email: local.email, id: local.userId }))
    const other = await accounts().adopt(outside(subject, { issuer: 'https://other.example' }))
    expect(new Set([local.userId, one?.userId, other?.userId]).size).toBe(3)
    expect(await accounts().findByEmail(String(local.email))).toMatchObject({ user: local })
    expect(await accounts().adopt(outside(subject))).toMatchObject({ userId: one?.userId })
  })

  test('never finds an outside identity by e-mail', async () => {
    const user = await accounts().adopt(outside(newId()))
    expect(await accounts().findByEmail(String(user?.email))).toBeUndefined()
  })

  test('knows the user of a session until it expires or is revoked', async () => {
    const { user, id } = await session()
    expect(await accounts().findBySession(id, after(59_999))).toEqual(user)
    expect(await accounts().findBySession(id, after(60_000))).toBeUndefined()
    expect(await accounts().findBySession(newId(), AT)).toBeUndefined()
    await accounts().revokeSession(id, after(1))
    expect(await accounts().findBySession(id, after(2))).toBeUndefined()
  })

  test('lets a disabled user in by no way', async () => {
    const { user, id, hash } = await session()
    const stranger = await accounts().adopt(outside(newId()))
    if (!stranger) throw new Error('The outside identity was not adopted')
    const [row] = await given().sql<{ subject: string }>('select subject from users where id = $1', [stranger.userId])
    await Promise.all([disable(user), disable(stranger)])
    expect(await accounts().findByEmail(String(user.email))).toBeUndefined()
    expect(await accounts().findBySession(id, AT)).toBeUndefined()
    expect(await accounts().rotate(hash, newId(), AT, GRACE)).toEqual({ outcome: 'unknown' })
    expect(await accounts().adopt(outside(String(row?.subject)))).toBeUndefined()
  })

  test('spends a refresh token and takes its successor next', async () => {
    const { user, id, hash } = await session()
    const [second, third] = [newId(), newId()]
    const rotated = { outcome: 'rotated', user, sessionId: id } as const
    expect(await accounts().rotate(hash, second, AT, GRACE)).toEqual(rotated)
    expect(await accounts().rotate(second, third, after(1), GRACE)).toEqual(rotated)
    expect(await accounts().rotate(newId(), newId(), AT, GRACE)).toEqual({ outcome: 'unknown' })
  })

  test('takes a spent token again within the grace period, without a second successor', async () => {
    const { id, hash } = await session()
    const next = newId()
    await accounts().rotate(hash, next, AT, GRACE)
    expect(await accounts().rotate(hash, next, after(GRACE), GRACE)).toMatchObject({ outcome: 'rotated' })
    expect(await chainLength(id)).toBe(2)
  })

  test('revokes the whole session when a spent token comes back after the grace period', async () => {
    const { id, hash } = await session()
    const next = newId()
    await accounts().rotate(hash, next, AT, GRACE)
    expect(await accounts().rotate(hash, next, after(GRACE + 1), GRACE)).toMatchObject({ outcome: 'reused' })
    expect(await accounts().findBySession(id, after(GRACE + 2))).toBeUndefined()
    expect(await accounts().rotate(next, newId(), after(GRACE + 2), GRACE)).toEqual({ outcome: 'unknown' })
  })

  test('makes one chain of successors when a token is rotated twenty times at once', async () => {
    const { id, hash } = await session()
    const next = newId()
    const rotations = await atOnce(20, () => accounts().rotate(hash, next, AT, GRACE))
    expect(rotations.map(({ outcome }) => outcome)).toEqual(Array.from({ length: 20 }, () => 'rotated' as const))
    expect(await chainLength(id)).toBe(2)
    expect(await accounts().rotate(next, newId(), after(1), GRACE)).toMatchObject({ outcome: 'rotated' })
    expect(await chainLength(id)).toBe(3)
  })

  test('rotates nothing in a session that ended', async () => {
    const [expired, revoked] = [await session(), await session()]
    expect(await accounts().rotate(expired.hash, newId(), after(60_000), GRACE)).toEqual({ outcome: 'unknown' })
    await accounts().revokeSession(revoked.id, AT)
    expect(await accounts().rotate(revoked.hash, newId(), AT, GRACE)).toEqual({ outcome: 'unknown' })
  })

  test('ends the session behind a refresh token and leaves the others of its user alone', async () => {
    const first = await session()
    const second = await session(first.user)
    expect(await accounts().revokeByRefresh(first.hash, AT)).toBe(first.id)
    expect(await accounts().revokeByRefresh(newId(), AT)).toBeUndefined()
    expect(await accounts().findBySession(first.id, AT)).toBeUndefined()
    expect(await accounts().findBySession(second.id, AT)).toEqual(first.user)
  })
}
