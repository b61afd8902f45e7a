import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type SupabaseApi, type SupabasePerson, startSupabaseApi } from '../support/supabase/api'
import { createSupabaseDatabase, type SupabaseDatabase } from '../support/supabase/database'

// The stand-in for PostgREST is only worth something if it is as strict as what it stands for.

let database: SupabaseDatabase
let api: SupabaseApi
let ada: SupabasePerson
let bob: SupabasePerson
beforeAll(async () => {
  database = await createSupabaseDatabase()
  api = await startSupabaseApi({ databaseUrl: database.url })
  ada = await api.user()
  bob = await api.user()
})
afterAll(async () => {
  await api.stop()
  await database.drop()
})

interface Call {
  method?: string
  token?: string
  key?: string
  body?: object
  prefer?: string
}

async function rest(path: string, { method = 'GET', token, key = api.anonKey, body, prefer = '' }: Call = {}) {
  const headers = { apikey: key, prefer, ...(token ? { authorization: `Bearer ${token}` } : {}) }
  const init = body ? { method, headers, body: JSON.stringify(body) } : { method, headers }
  const answer = await fetch(`${api.url}/rest/v1/${path}`, init)
  const text = await answer.text()
  return { status: answer.status, body: text ? JSON.parse(text) : undefined }
}

const REPRESENTATION = 'return=representation'
const profileOf = ({ id }: SupabasePerson) => `user_profiles?id=eq.${id}`

test('shows people their own row, and nobody else', async () => {
  const path = `${profileOf(ada)}&select=*`
  const { id, email } = ada
  expect(await rest(path, { token: ada.token })).toMatchObject({
    status: 200,
    body: [{ id, email, litellm_key: null }],
  })
  expect(await rest(path, { token: bob.token })).toEqual({ status: 200, body: [] })
  expect(await rest(path, { key: api.serviceKey })).toMatchObject({ status: 200, body: [{ id }] })
  const stranger = await rest(path)
  expect(stranger.body).toMatchObject({ code: '42501' })
  expect(stranger.status).toBe(401)
})

test('chooses columns, sorts and cuts', async () => {
  const key = api.serviceKey
  const { body } = await rest('user_profiles?select=email&order=email.desc&limit=1', { key })
  expect(body).toEqual([{ email: [ada.email, bob.email].sort().at(-1) ?? '' }])
})

test('wants a key of the project and a token that lives', async () => {
  const path = profileOf(ada)
  expect((await rest(path, { key: '' })).status).toBe(401)
  expect((await rest(path, { key: 'sb_publishable_other', token: ada.token })).status).toBe(401)
  expect((await rest(path, { key: api.publishableKey, token: ada.token })).status).toBe(200)
  const expired = await rest(path, { token: await api.sign({ sub: ada.id, exp: 1 }) })
  expect(expired).toMatchObject({ status: 401, body: { code: 'PGRST303', message: 'JWT expired' } })
  expect(await rest(path, { token: 'none' })).toMatchObject({ status: 401, body: { code: 'PGRST301' } })
})

test('makes a row that is missing, once, and only the caller his own', async () => {
  const { id, email, token } = await api.user()
  await database.pool.query('delete from user_profiles where id = $1', [id])
  const create = (who: string, prefer: string, path = 'user_profiles') =>
    rest(path, { method: 'POST', token: who, body: { id, email }, prefer })
  expect(await create(bob.token, REPRESENTATION)).toMatchObject({ status: 403, body: { code: '42501' } })
  expect(await create(token, REPRESENTATION)).toMatchObject({ status: 201, body: [{ id, email }] })
  expect(await create(token, REPRESENTATION)).toMatchObject({ status: 409, body: { code: '23505' } })
  const ignoring = `resolution=ignore-duplicates,${REPRESENTATION}`
  expect(await create(token, ignoring)).toEqual({ status: 200, body: [] })
  expect(await create(token, ignoring, 'user_profiles?on_conflict=id')).toEqual({ status: 200, body: [] })
})

test('changes and removes only what the caller may', async () => {
  const name = (token: string) =>
    rest(profileOf(ada), { method: 'PATCH', token, body: { name: 'Ada' }, prefer: REPRESENTATION })
  expect(await name(bob.token)).toEqual({ status: 200, body: [] })
  expect(await name(ada.token)).toMatchObject({ status: 200, body: [{ id: ada.id, name: 'Ada' }] })
  const budget = { method: 'PATCH', body: { max_budget: 5 } }
  expect(await rest(profileOf(ada), { ...budget, token: ada.token })).toMatchObject({ status: 403 })
  expect(await rest(profileOf(ada), { ...budget, key: api.serviceKey })).toEqual({ status: 204, body: undefined })
  const everybody = await rest('user_profiles', { method: 'DELETE', key: api.serviceKey })
  expect(everybody).toMatchObject({ status: 400, body: { code: '21000' } })
  const removed = await rest(profileOf(ada), { method: 'DELETE', key: api.serviceKey, prefer: REPRESENTATION })
  expect(removed).toMatchObject({ status: 200, body: [{ id: ada.id, max_budget: 5, available_balance: 5 }] })
})

test('says what it does not know', async () => {
  const { token } = bob
  expect(await rest('nothing', { token })).toMatchObject({ status: 404 })
  expect(await rest('user_profiles?nothing=eq.1', { token })).toMatchObject({ status: 400, body: { code: '42703' } })
  expect(await rest('user_profiles?id=eq.1', { token })).toMatchObject({ status: 400, body: { code: '22P02' } })
  expect(await rest('user_profiles?id=gt.1', { token })).toMatchObject({ status: 400, body: { code: 'PGRST100' } })
})
