import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { newId } from '../../src/lib/ids'
import { Usage } from '../../src/modules/usage/service'
import type { UsageFilter, UsageRecord } from '../../src/store/port-money'
import { type TestApp, testApp } from '../support/app'
import { newPerson, type Somebody, spent, WITH_EVERYBODY } from '../support/money'

let app: TestApp
let admin: Somebody
beforeAll(async () => {
  app = await testApp(WITH_EVERYBODY)
  admin = await newPerson(app, { role: 'admin' })
})
afterAll(() => app.close())

const file = (query: string, token = admin.token) => app.call(`/v1/admin/usage/export?${query}`, { token })

/** Reads a file as RFC 4180 says. */
function rowsOf(csv: string): string[][] {
  const rows: string[][] = [[]]
  for (const [, quoted, plain, end] of csv.matchAll(/(?:"((?:[^"]|"")*)"|([^,"\r\n]*))(,|\r\n)/g)) {
    rows.at(-1)?.push(quoted?.replaceAll('""', '"') ?? plain ?? '')
    if (end === '\r\n') rows.push([])
  }
  return rows.slice(0, -1)
}

describe('usage as a file', () => {
  test('has every answer, with exact amounts, and a name', async () => {
    const model = newId()
    const id = await spent(app, { ...admin, model, costNanos: 1n, chargeNanos: 2_000_000_001n, keyId: newId() })
    await spent(app, { ...admin, model, costNanos: null })
    const answer = await file(`model=${model}`)
    expect(answer.headers.get('content-type')).toBe('text/csv; charset=utf-8; header=present')
    expect(answer.headers.get('content-disposition')).toMatch(/^attachment; filename="usage-\d{4}-\d\d-\d\d\.csv"$/)
    const [head = [], ...rows] = rowsOf(await answer.text())
    const cell = (row: number, name: string) => rows[row]?.[head.indexOf(name)]
    expect(rows).toHaveLength(2)
    expect(cell(0, 'id')).toBe(id)
    expect([cell(0, 'cost_usd'), cell(0, 'charged_usd'), cell(0, 'reported_usd')]).toEqual([
      '0.000000001',
      '2.000000001',
      '',
    ])
    expect([cell(1, 'cost_usd'), cell(1, 'key_id'), cell(1, 'prompt_tokens')]).toEqual(['', '', '10'])
  })

  test('has lines of JSON with the usage as it was reported', async () => {
    const model = newId()
    await spent(app, { ...admin, model, parts: { input: 1n, output: 2n } })
    const answer = await file(`model=${model}&format=ndjson`)
    expect(answer.headers.get('content-type')).toBe('application/x-ndjson; charset=utf-8')
    const lines = (await answer.text()).trimEnd().split('\n')
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { model, cost_usd: 0.003, cost_parts_usd: { input: 1e-9, output: 2e-9 }, usage: { prompt_tokens: 10 } },
    ])
  })

  test('gives spreadsheets no formula, and breaks at no quote or line', async () => {
    const wrong = ['=1+1', '+1', '-1', '@SUM(A1)', '\t=1', '\r=1', ' =cmd|x!A1', '＝1', 'a"b,c', 'two\r\nlines', "'=1"]
    const { userId } = await newPerson(app)
    for (const [i, model] of wrong.entries()) {
      await spent(app, { userId, model, providerModel: model, completedAt: new Date(Date.now() - 1000 + i) })
    }
    const [head = [], ...rows] = rowsOf(await (await file(`user_id=${userId}`)).text())
    const models = rows.map((row) => row[head.indexOf('model')])
    expect(models).toEqual(wrong.map((model) => (/^\s*[=+\-@＝]/.test(model) ? `'${model}` : model)))
    expect(rows.map((row) => row[head.indexOf('provider_model')])).toEqual(models)
    expect(rows.every((row) => row.length === head.length)).toBe(true)
  })

  test('without an answer is only its head', async () => {
    const nothing = `model=${newId()}`
    expect((await (await file(nothing)).text()).split('\r\n')).toHaveLength(2)
    expect(await (await file(`${nothing}&format=ndjson`)).text()).toBe('')
  })

  test('is for administrators, of their tenant', async () => {
    const model = newId()
    await spent(app, { ...admin, model })
    expect((await file('', (await newPerson(app)).token)).status).toBe(403)
    const foreign = await newPerson(app, { role: 'admin', elsewhere: true })
    expect(await (await file(`model=${model}&format=ndjson`, foreign.token)).text()).toBe('')
    expect((await file('tenant_id=all', foreign.token)).status).toBe(404)
    expect((await file('format=xml')).status).toBe(422)
  })

  test('is read page by page, no faster than it is taken', async () => {
    const asked: (string | null)[] = []
    const record = { createdAt: new Date(0), completedAt: new Date(0), model: 'm', chargeNanos: 0n, savedNanos: 0n }
    const items = Array.from({ length: 1000 }, () => record as UsageRecord)
    const records = async (_: UsageFilter, { after }: { after: string | null }) => {
      asked.push(after)
      return { items, next: String(asked.length) }
    }
    const usage = new Usage({
      store: { usage: { records }, people: { find: async () => undefined } } as never,
      now: () => new Date(),
      onFault: () => {},
    })
    const user = { tenantId: newId(), userId: newId(), role: 'admin' } as Parameters<Usage['export']>[0]
    const { pieces } = await usage.export(user, {})
    for (let i = 0; i < 3; i++) await pieces.next()
    expect(asked).toEqual([null, '1', '2'])
    await pieces.return(undefined)
  })

  test('breaks off when it cannot be read on, and says so in the log', async () => {
    const faults: string[] = []
    let calls = 0
    const records = async () => {
      if (++calls > 1) throw new Error('gone')
      return { items: [], next: 'more' }
    }
    const usage = new Usage({
      store: { usage: { records }, people: { find: async () => undefined } } as never,
      now: () => new Date(),
      onFault: (message) => faults.push(message),
    })
    const user = { tenantId: newId(), userId: newId(), role: 'admin' } as Parameters<Usage['export']>[0]
    const { pieces } = await usage.export(user, {})
    await pieces.next()
    const second = await pieces.next().catch((error: Error) => error.message)
    expect([second, faults]).toEqual(['gone', ['An export of usage broke off']])
  })
})
