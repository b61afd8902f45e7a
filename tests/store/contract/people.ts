import { expect, test } from 'bun:test'
import { newId } from '../../../src/lib/ids'
import type { Role, User } from '../../../src/store/port'
import { AT, after, type Given, newUser } from './given'
import { refusal } from './tenants'

export function peopleContract(given: () => Given): void {
  const people = () => given().store.people
  const tenants = () => given().store.tenants
  const accounts = () => given().store.accounts

  /** A tenant of its own with a person in it. */
  const placed = async (fields: object = {}) => {
    const { id: tenantId } = await tenants().create({ id: newId(), name: 'x', at: AT })
    return accounts().create(newUser({ tenantId, ...fields }))
  }
  const withRole = async (role: Role) => {
    const user = await placed()
    await accounts().setRole(user.userId, role)
    return user
  }
  const update = ({ tenantId, userId }: User, patch: object, at = AT) => people().update(tenantId, userId, patch, at)

  test('shows a person without their secrets', async () => {
    const user = await placed({ name: 'Ada', passwordHash: 'secret-hash' })
    await people().setLitellmKey(user.userId, 'sk-litellm-secret')
    const { tenantId, userId, email } = user
    const person = await people().find(tenantId, userId)
    expect(person).toEqual({
      tenantId,
      userId,
      email,
      name: 'Ada',
      role: 'user',
      preferences: {},
      timeZone: null,
      allowedModels: null,
      limits: null,
      hasLitellmKey: true,
      disabledAt: null,
      createdAt: AT,
    })
    expect(JSON.stringify(await people().list(tenantId, { page: 1, limit: 10 }))).not.toContain('secret')
    expect((await accounts().findByEmail(String(email)))?.user.litellmKey).toBe('sk-litellm-secret')
  })

  test('finds and changes nobody of another tenant', async () => {
    const [user, other] = [await placed(), await placed()]
    expect(await people().find(other.tenantId, user.userId)).toBeUndefined()
    expect(await people().update(other.tenantId, user.userId, { name: 'changed' }, AT)).toBeUndefined()
    expect(await people().find(user.tenantId, user.userId)).toMatchObject({ name: 'Test' })
    expect((await people().list(other.tenantId, { page: 1, limit: 10 })).items.map(({ userId }) => userId)).toEqual([
      other.userId,
    ])
  })

  test('lists the newest first, by pages, and finds by a part of name or e-mail that means nothing but itself', async () => {
    const first = await placed({ name: 'Ada Lovelace', email: `ada-${newId()}@example.com` })
    const { tenantId } = first
    const more = [
      { name: '100% sure', at: after(1) },
      { name: 'under_score', at: after(2) },
      { name: 'back\\slash', at: after(3), email: null, passwordHash: null, issuer: 'i', subject: newId() },
    ]
    for (const fields of more) await accounts().create(newUser({ tenantId, ...fields }))
    const names = async (q?: string, page = 1, limit = 10) => {
      const { items, total } = await people().list(tenantId, { q, page, limit })
      return [total, ...items.map(({ name }) => name)]
    }
    expect(await names()).toEqual([4, 'back\\slash', 'under_score', '100% sure', 'Ada Lovelace'])
    expect(await names(undefined, 2, 3)).toEqual([4, 'Ada Lovelace'])
    expect(await names('LOVE')).toEqual([1, 'Ada Lovelace'])
    expect(await names('ADA-')).toEqual([1, 'Ada Lovelace'])
    expect(await names('%')).toEqual([1, '100% sure'])
    expect(await names('_')).toEqual([1, 'under_score'])
    expect(await names('\\')).toEqual([1, 'back\\slash'])
    expect(await names("'; drop table users; --")).toEqual([0])
  })

  test('changes what is said, and tells whoever signs in', async () => {
    const user = await placed()
    const patch = {
      name: 'Grace',
      role: 'admin' as const,
      allowedModels: ['a', 'b'],
      limits: { requests_per_minute: 1 },
      timeZone: 'Asia/Kathmandu',
      preferences: { theme: 'dark', deep: { n: '10.5' } },
    }
    expect(await update(user, patch)).toMatchObject(patch)
    expect(await people().find(user.tenantId, user.userId)).toMatchObject(patch)
    const found = (await accounts().findByEmail(String(user.email)))?.user
    const rateLimits = { user: patch.limits, tenant: null }
    expect(found).toEqual({ ...user, name: 'Grace', role: 'admin', allowedModels: ['a', 'b'], rateLimits })
    expect(await update(user, { allowedModels: null, limits: null, timeZone: null })).toMatchObject({
      allowedModels: null,
      limits: null,
      timeZone: null,
      role: 'admin',
    })
  })

  test('ends the sessions of whom it disables, and they do not come back', async () => {
    const user = await placed()
    const [session, refreshHash] = [newId(), newId()]
    await accounts().openSession({ id: session, userId: user.userId, refreshHash, at: AT, expiresAt: after(60_000) })
    expect(await update(user, { disabledAt: AT })).toMatchObject({ disabledAt: AT })
    expect(await accounts().findBySession(session, AT)).toBeUndefined()
    expect(await update(user, { disabledAt: null })).toMatchObject({ disabledAt: null })
    expect(await accounts().findBySession(session, AT)).toBeUndefined()
    expect(await accounts().rotate(refreshHash, newId(), AT, 10_000)).toEqual({ outcome: 'unknown' })
    expect(await accounts().findByEmail(String(user.email))).toBeDefined()
  })

  test('always leaves an owner, also of many who take the right from each other at once', async () => {
    const owners = [await withRole('owner'), await withRole('owner'), await withRole('owner'), await withRole('owner')]
    const [a, b, c, d] = owners as [User, User, User, User]
    const codes = await Promise.all([
      refusal(update(a, { role: 'user' })),
      refusal(update(b, { disabledAt: AT })),
      refusal(tenants().update(c.tenantId, { disabledAt: AT }, AT)),
      refusal(update(d, { role: 'admin' })),
    ])
    expect(codes.toSorted()).toEqual(['CONFLICT', undefined, undefined, undefined])
    const left = await given().sql<{ id: string; tenant_id: string }>(
      `select u.id, u.tenant_id from users u join tenants t on t.id = u.tenant_id
       where role = 'owner' and u.disabled_at is null and t.disabled_at is null`,
    )
    expect(left).toHaveLength(1)
    const [last] = left
    const id = { tenantId: String(last?.tenant_id), userId: String(last?.id) } as User
    expect(await refusal(update(id, { role: 'user' }))).toBe('CONFLICT')
    expect(await refusal(update(id, { name: 'still', role: 'owner' }))).toBeUndefined()
    await accounts().setRole(id.userId, 'user')
  })
}
