import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { Confirmations } from '../../src/modules/batch/confirmation'
import { type TestApp, testApp } from '../support/app'
import { createDatabase } from '../support/db'
import { forge, seconds } from '../support/forge'

const JWT_SECRET_KEY = 'a secret that this server knows, and nobody else'
let app: TestApp
let drop: () => Promise<void>
beforeAll(async () => {
  const database = await createDatabase()
  drop = database.drop
  app = await testApp({ JWT_SECRET_KEY, DATABASE_URL: database.url })
})
afterAll(async () => {
  await app.close()
  await drop()
})

const newToken = () =>
  forge({ alg: 'HS256', typ: 'JWT' }, { sub: crypto.randomUUID(), exp: seconds(3600) }, JWT_SECRET_KEY)
const change = (token: string, json: unknown) => app.call('/v1/conversations/batch', { token, json })
const remove = (token: string, json: unknown) => app.call('/v1/conversations/batch', { token, method: 'DELETE', json })
const make = async (token: string, message = 'Hello'): Promise<string> => {
  const answer = await app.call('/v1/chat/completions', { token, json: { message, stream: false } })
  return (await answer.json()).conversation_id
}
const get = async (token: string, id: string) =>
  (await (await app.call(`/v1/conversations/${id}`, { token })).json()).data
const data = async (answer: Response) => {
  expect(answer.status).toBe(200)
  return (await answer.json()).data
}

const everything = { created_before: '2100-01-01T00:00:00Z' }

describe('changes', () => {
  test('many conversations, each in its own way', async () => {
    const mine = newToken()
    const [one, two, three] = [await make(mine), await make(mine), await make(mine)]
    const before = await get(mine, three)
    const operations = [
      { id: one, title: '  Tea ', tags: ['a', ' a ', 'b'] },
      { id: two, model: 'demo/other', archived: true, pinned: true },
    ]
    const answer = await data(await change(mine, { operations }))
    expect(answer).toEqual({
      updated: 2,
      failed: 0,
      results: [
        { id: one, ok: true },
        { id: two, ok: true },
      ],
    })
    expect(await get(mine, one)).toMatchObject({ title: 'Tea', tags: ['a', 'b'], rev: 2, archived_at: null })
    const second = await get(mine, two)
    expect(second).toMatchObject({ title: 'Hello', model: 'demo/other', rev: 2 })
    expect([second.pinned_at, second.archived_at]).toEqual([expect.any(String), expect.any(String)])
    expect(await get(mine, three)).toEqual(before)
    await change(mine, { operations: [{ id: two, model: null, archived: false, pinned: true, tags: [] }] })
    expect(await get(mine, two)).toMatchObject({ model: null, archived_at: null, pinned_at: second.pinned_at, rev: 3 })
  })

  test('those that are there, and says which are not', async () => {
    const [mine, other] = [newToken(), newToken()]
    const [own, foreign] = [await make(mine), await make(other)]
    const nobody = crypto.randomUUID()
    const operations = [own, foreign, nobody].map((id) => ({ id, title: 'Changed' }))
    const error = { code: 'NOT_FOUND', message: 'There is no such conversation' }
    const answer = await data(await change(mine, { operations }))
    expect(answer).toEqual({
      updated: 1,
      failed: 2,
      results: [
        { id: own, ok: true },
        { id: foreign, ok: false, error },
        { id: nobody, ok: false, error },
      ],
    })
    expect((await get(other, foreign)).title).toBe('Hello')
  })

  test('all or nothing, when asked to', async () => {
    const [mine, other] = [newToken(), newToken()]
    const [own, foreign] = [await make(mine), await make(other)]
    const before = await get(mine, own)
    const operations = [own, foreign].map((id) => ({ id, title: 'Changed' }))
    const answer = await change(mine, { operations, all_or_nothing: true })
    expect(answer.status).toBe(404)
    expect((await answer.json()).error.details.results).toMatchObject([
      { id: own, ok: false, error: { code: 'CONFLICT' } },
      { id: foreign, ok: false, error: { code: 'NOT_FOUND' } },
    ])
    expect(await get(mine, own)).toEqual(before)
    expect(await data(await change(mine, { operations: operations.slice(0, 1), all_or_nothing: true }))).toMatchObject({
      updated: 1,
    })
  })

  test('without ever waiting for another for good', async () => {
    const mine = newToken()
    const ids = [await make(mine), await make(mine), await make(mine)]
    const calls = Array.from({ length: 12 }, (_, i) => {
      const operations = (i % 2 ? ids : ids.toReversed()).map((id) => ({ id, title: `Title ${i}` }))
      return change(mine, { operations })
    })
    for (const answer of await Promise.all(calls)) expect(answer.status).toBe(200)
    const seen = await Promise.all(ids.map((id) => get(mine, id)))
    expect(seen.map(({ rev }) => rev)).toEqual([13, 13, 13])
    expect(new Set(seen.map(({ title }) => title)).size).toBe(1)
  })

  test.each([
    ['nothing', { operations: [] }],
    ['no list', { operations: {} }],
    ['an id alone', { operations: [{ id: crypto.randomUUID() }] }],
    ['no id', { operations: [{ title: 'x' }] }],
    ['a bad id', { operations: [{ id: '1', title: 'x' }] }],
    ['a blank title', { operations: [{ id: crypto.randomUUID(), title: ' ' }] }],
    ['a long title', { operations: [{ id: crypto.randomUUID(), title: 'x'.repeat(201) }] }],
    ['null for a title', { operations: [{ id: crypto.randomUUID(), title: null }] }],
    ['tags of spaces', { operations: [{ id: crypto.randomUUID(), tags: [' '] }] }],
    ['an owner', { operations: [{ id: crypto.randomUUID(), user_id: 'y' }] }],
    ['more than 100', { operations: Array.from({ length: 101 }, () => ({ id: crypto.randomUUID(), title: 'x' })) }],
    ['one twice', { operations: Array(2).fill({ id: '0199c0de-0000-7000-8000-000000000001', title: 'x' }) }],
  ])('refuses %s', async (_, json) => {
    expect((await change(newToken(), json)).status).toBe(422)
  })

  test('takes NUL and half surrogates, and stores what a database can hold', async () => {
    const mine = newToken()
    const id = await make(mine)
    const body = `{"operations":[{"id":"${id}","title":"a\\u0000","tags":["\\ud800"]}]}`
    const headers = { 'content-type': 'application/json' }
    const answer = await app.call('/v1/conversations/batch', { token: mine, method: 'POST', headers, body })
    expect(answer.status).toBe(200)
    expect(await get(mine, id)).toMatchObject({ title: 'a\uFFFD', tags: ['\uFFFD'] })
  })
})

describe('deletes', () => {
  test('exactly what a dry run has shown', async () => {
    const mine = newToken()
    const [one, two, kept] = [await make(mine, 'one'), await make(mine, 'two'), await make(mine, 'kept')]
    const nobody = crypto.randomUUID()
    const shown = await data(await remove(mine, { ids: [one, two, nobody, one], dry_run: true }))
    expect(shown).toEqual({
      dry_run: true,
      count: 2,
      titles: ['one', 'two'],
      missing: [nobody],
      confirmation_token: expect.any(String),
      expires_at: expect.any(String),
    })
    expect((await get(mine, one)).title).toBe('one')
    const { confirmation_token } = shown
    expect(await data(await remove(mine, { ids: [two, one], confirmation_token }))).toEqual({
      dry_run: false,
      deleted: 2,
    })
    for (const id of [one, two]) expect(await get(mine, id)).toBeUndefined()
    expect((await get(mine, kept)).title).toBe('kept')
    expect((await remove(mine, { ids: [two, one], confirmation_token })).status).toBe(409)
  })

  test('what fits a filter, unless that is something else by now', async () => {
    const mine = newToken()
    const [old, current] = [await make(mine, 'old'), await make(mine, 'current')]
    await change(mine, { operations: [{ id: old, archived: true }] })
    const filter = { archived: true, created_before: '2100-01-01T00:00:00Z' }
    const shown = await data(await remove(mine, { filter, dry_run: true }))
    expect(shown).toMatchObject({ count: 1, titles: ['old'], missing: [] })
    const confirmation_token = shown.confirmation_token
    await change(mine, { operations: [{ id: current, archived: true }] })
    expect((await remove(mine, { filter, confirmation_token })).status).toBe(409)
    expect((await remove(mine, { filter: everything, confirmation_token })).status).toBe(409)
    expect((await get(mine, old)).title).toBe('old')
    await change(mine, { operations: [{ id: current, archived: false }] })
    expect(await data(await remove(mine, { filter, confirmation_token }))).toMatchObject({ deleted: 1 })
    expect((await get(mine, current)).title).toBe('current')
  })

  test('with no confirmation but that of the same person', async () => {
    const [mine, other] = [newToken(), newToken()]
    const id = await make(mine)
    const { confirmation_token: foreign } = await data(await remove(other, { ids: [id], dry_run: true }))
    const { confirmation_token: own } = await data(await remove(mine, { ids: [id], dry_run: true }))
    const [expires = '', hash, signature = ''] = own.split('.')
    const later = `${Number(expires) + 1}.${hash}.${signature}`
    for (const token of [undefined, 'x', foreign, later, `${own}x`, `${expires}.${hash}.`, '..']) {
      const answer = await remove(mine, { ids: [id], confirmation_token: token })
      expect([token, answer.status]).toEqual([token, 422])
    }
    expect((await remove(other, { ids: [id], confirmation_token: own })).status).toBe(422)
    expect((await get(mine, id)).title).toBe('Hello')
  })

  test('nothing of anybody else', async () => {
    const [mine, other] = [newToken(), newToken()]
    const id = await make(mine)
    const shown = await data(await remove(other, { ids: [id], dry_run: true }))
    expect(shown).toMatchObject({ count: 0, titles: [], missing: [id] })
    const { confirmation_token } = shown
    expect(await data(await remove(other, { ids: [id], confirmation_token }))).toMatchObject({ deleted: 0 })
    expect((await get(mine, id)).title).toBe('Hello')
  })

  test('an answer that is still being written, with its conversation', async () => {
    const mine = newToken()
    const json = { message: 'What are you?' }
    const answer = await app.call('/v1/chat/completions', { token: mine, json })
    const reader = answer.body?.getReader()
    await reader?.read()
    const { confirmation_token, count } = await data(await remove(mine, { filter: everything, dry_run: true }))
    expect(count).toBe(1)
    expect(await data(await remove(mine, { filter: everything, confirmation_token }))).toMatchObject({ deleted: 1 })
    let text = ''
    for (let next = await reader?.read(); next?.value; next = await reader?.read())
      text += new TextDecoder().decode(next.value)
    expect(text).toEndWith('data: [DONE]\n\n')
    const runs = await app.call('/v1/runs', { token: mine })
    expect((await runs.json()).data.items).toEqual([])
  })

  test.each([
    ['nothing', {}],
    ['ids and a filter', { ids: [crypto.randomUUID()], filter: everything, dry_run: true }],
    ['no ids', { ids: [], dry_run: true }],
    ['ids that are none', { ids: ['*'], dry_run: true }],
    ['a filter of nothing', { filter: {}, dry_run: true }],
    ['a filter that is a list', { filter: [], dry_run: true }],
    ['a filter of nonsense', { filter: { user: 'x' }, dry_run: true }],
    ['a time that is none', { filter: { created_before: '2026-02-30T00:00:00Z' }, dry_run: true }],
    ['a dry run that is unclear', { filter: everything, dry_run: 'yes' }],
    ['a token that is none', { filter: everything, confirmation_token: 7 }],
    ['a token that is very long', { filter: everything, confirmation_token: 'x'.repeat(501) }],
    ['a list', ['x']],
    ['null', null],
  ])('refuses %s', async (_, json) => {
    expect((await remove(newToken(), json)).status).toBe(422)
  })
})

describe('a confirmation', () => {
  const key = new Uint8Array(32).fill(7)
  const confirmations = new Confirmations(key)
  const now = new Date('2026-11-21T10:00:00Z')
  const { token, expiresAt } = confirmations.give('me', ['a', 'b'], now)

  test('is good for ten minutes, for these rows in any order', () => {
    expect(expiresAt.toISOString()).toBe('2026-11-21T10:10:00.000Z')
    expect(() => confirmations.check(token, 'me', ['b', 'a'], expiresAt)).not.toThrow()
    const late = new Date(expiresAt.getTime() + 1)
    expect(() => confirmations.check(token, 'me', ['a', 'b'], late)).toThrow('too late')
    expect(() => confirmations.check(token, 'me', ['a'], now)).toThrow('not the conversations')
  })

  test('is worth nothing with another key or for another person', () => {
    expect(() => confirmations.check(token, 'you', ['a', 'b'], now)).toThrow('dry run')
    const others = new Confirmations(new Uint8Array(32))
    expect(() => others.check(token, 'me', ['a', 'b'], now)).toThrow('dry run')
  })
})
