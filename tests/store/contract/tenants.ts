import { expect, test } from 'bun:test'
import { AppError } from '../../../src/errors'
import { newId } from '../../../src/lib/ids'
import type { User } from '../../../src/store/port'
import { AT, after, atOnce, type Given, newUser } from './given'

/** What a promise is rejected with; undefined when it is not. */
export const refusal = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => (error instanceof AppError ? error.code : error),
  )

export function tenantsContract(given: () => Given): void {
  const tenants = () => given().store.tenants
  const accounts = () => given().store.accounts
  const slug = () => `s${newId()}`

  test('makes a tenant with what is said and nothing else, and finds it', async () => {
    const id = newId()
    const plain = await tenants().create({ id, name: 'Acme', at: AT })
    const none = { slug: null, allowedModels: null, marginBp: 0, billing: null, limits: null, disabledAt: null }
    expect(plain).toEqual({ id, name: 'Acme', ...none, createdAt: AT, updatedAt: AT })
    expect(await tenants().find(id)).toEqual(plain)
    expect(await tenants().find(newId())).toBeUndefined()
    const facts = {
      slug: slug(),
      allowedModels: ['a', "b'c", '{"x",y}', ''],
      marginBp: 2000,
      billing: 'prepaid' as const,
      limits: { requests_per_minute: 5 },
    }
    const full = await tenants().create({ id: newId(), name: 'Bold', ...facts, at: AT })
    expect(full).toMatchObject(facts)
    expect(await tenants().findBySlug(facts.slug)).toEqual(full)
    expect(await tenants().findBySlug(facts.slug.toUpperCase())).toBeUndefined()
  })

  test('lists tenants in the order of their making, by pages', async () => {
    const made = []
    for (let i = 0; i < 3; i++) made.push(await tenants().create({ id: newId(), name: `${i}`, at: after(i) }))
    const { total } = await tenants().list({ page: 1, limit: 1 })
    const all = []
    for (let page = 1; page <= Math.ceil(total / 2); page++)
      all.push(...(await tenants().list({ page, limit: 2 })).items)
    expect(all).toHaveLength(total)
    const ids = made.map(({ id }) => id)
    expect(all.map(({ id }) => id).filter((id) => ids.includes(id))).toEqual(ids)
    expect((await tenants().list({ page: 1000, limit: 100 })).items).toEqual([])
  })

  test('changes what is said, and when', async () => {
    const { id } = await tenants().create({ id: newId(), name: 'Acme', allowedModels: ['a'], at: AT })
    const changed = await tenants().update(id, { marginBp: 5, allowedModels: null, limits: { x: 1 } }, after(1))
    expect(changed).toMatchObject({ name: 'Acme', marginBp: 5, allowedModels: null, limits: { x: 1 }, createdAt: AT })
    expect(changed?.updatedAt).toEqual(after(1))
    expect(await tenants().update(id, { limits: null, allowedModels: [] }, after(2))).toMatchObject({
      limits: null,
      allowedModels: [],
    })
    expect(await tenants().update(newId(), { name: 'x' }, AT)).toBeUndefined()
  })

  test('lets one of many at once have a slug', async () => {
    const wanted = slug()
    const results = await atOnce(10, () => refusal(tenants().create({ id: newId(), name: 'x', slug: wanted, at: AT })))
    expect(results.filter((code) => code === undefined)).toHaveLength(1)
    expect(results.filter((code) => code === 'CONFLICT')).toHaveLength(9)
    const other = await tenants().create({ id: newId(), name: 'y', at: AT })
    expect(await refusal(tenants().update(other.id, { slug: wanted }, AT))).toBe('CONFLICT')
  })

  test('keeps one key for each provider, the last one that was set, and of each tenant its own', async () => {
    const [mine, other] = [newId(), newId()]
    for (const id of [mine, other]) await tenants().create({ id, name: 'x', at: AT })
    const key = (lastFour: string, ms = 0) => ({ provider: 'openai', lastFour, createdAt: after(ms), sealed: lastFour })
    await tenants().setKey(mine, key('aaaa'))
    await tenants().setKey(mine, key('bbbb', 1))
    await tenants().setKey(other, key('cccc'))
    await tenants().setKey(mine, { ...key('dddd'), provider: 'anthropic' })
    expect(await tenants().keys(mine)).toEqual([
      { provider: 'anthropic', lastFour: 'dddd', createdAt: AT },
      { provider: 'openai', lastFour: 'bbbb', createdAt: after(1) },
    ])
    expect(await tenants().sealedKeys(other)).toEqual([{ provider: 'openai', sealed: 'cccc' }])
    expect(await tenants().removeKey(mine, 'openai')).toBe(true)
    expect(await tenants().removeKey(mine, 'openai')).toBe(false)
    expect(await tenants().sealedKeys(mine)).toEqual([{ provider: 'anthropic', sealed: 'dddd' }])
    expect(await tenants().keys(other)).toHaveLength(1)
  })

  test('lets nobody of a disabled tenant in by any way, and lets them in again when it is enabled', async () => {
    const { id: tenantId } = await tenants().create({ id: newId(), name: 'x', at: AT })
    const user = await accounts().create(newUser({ tenantId }))
    const subject = newId()
    const outside = newUser({ tenantId, passwordHash: null, issuer: 'https://issuer.example', subject })
    const adopted = await accounts().adopt(outside)
    const [sessionId, refreshHash, hash] = [newId(), newId(), newId()]
    await accounts().openSession({ id: sessionId, userId: user.userId, refreshHash, at: AT, expiresAt: after(60_000) })
    const key = { id: newId(), name: 'k', lastFour: 'abcd', hash, createdAt: AT, expiresAt: null }
    await given().store.keys.create(user, key, 5)
    const ways = async (): Promise<(User | undefined)[]> => {
      const rotation = await accounts().rotate(refreshHash, newId(), AT, 10_000)
      return [
        (await accounts().findByEmail(String(user.email)))?.user,
        await accounts().findBySession(sessionId, AT),
        await given().store.keys.findUser(hash, AT),
        await accounts().adopt(outside),
        rotation.outcome === 'rotated' ? rotation.user : undefined,
      ]
    }
    await tenants().update(tenantId, { disabledAt: AT }, AT)
    expect(await ways()).toEqual([undefined, undefined, undefined, undefined, undefined])
    expect(await refusal(accounts().create(newUser({ tenantId })))).toBe('FORBIDDEN')
    expect(await accounts().adopt({ ...outside, id: newId(), subject: newId() })).toBeUndefined()
    expect(await given().count('users', 'tenant_id', tenantId)).toBe(2)
    await tenants().update(tenantId, { disabledAt: null }, AT)
    const [byEmail, bySession, byKey, byToken] = await ways()
    expect([byEmail, bySession, byToken]).toEqual([user, user, adopted])
    expect(byKey).toMatchObject(user)
  })

  test('leaves somebody in the tenant they are in, whatever tenant they come with next', async () => {
    const [first, second] = [newId(), newId()]
    for (const id of [first, second]) await tenants().create({ id, name: 'x', at: AT })
    const outside = newUser({ tenantId: first, passwordHash: null, issuer: 'https://issuer.example', subject: newId() })
    const adopted = await accounts().adopt(outside)
    expect(adopted?.tenantId).toBe(first)
    expect(await accounts().adopt({ ...outside, tenantId: second })).toEqual(adopted)
    expect(await accounts().adopt({ ...outside, subject: newId(), id: newId(), tenantId: newId() })).toBeUndefined()
  })
}
