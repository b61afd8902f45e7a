/** The scorecard of `bun run faults` as tests: every fault, for every kind of client, through the whole server. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { createDatabase } from '../support/db'
import { type Cell, playAll } from '../support/fault-cells'
import { CLIENTS } from '../support/fault-clients'
import { FAULTS } from './faults'

let database: Awaited<ReturnType<typeof createDatabase>>
let cells: Cell[]

beforeAll(async () => {
  database = await createDatabase()
  cells = await playAll({ DATABASE_URL: database.url })
}, 120_000)
afterAll(() => database.drop())

describe.each(FAULTS.map((fault) => [fault.name, fault] as const))('a provider that plays "%s"', (_, fault) => {
  test.each(CLIENTS.map((client) => [client.name, client] as const))(
    'leaves a client of %s with what is true',
    (_, client) => {
      const own = cells.filter((cell) => cell.fault === fault && cell.client === client)
      expect(own.length).toBe(fault.when === 'middle' ? 6 : 4)
      const wrong = own.flatMap(({ api, company, wrong }) => wrong.map((what) => `${api}, ${company}: ${what}`))
      expect(wrong).toEqual([])
    },
  )
})
