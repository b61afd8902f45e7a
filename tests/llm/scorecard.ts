/**
 * `bun run faults`: everything a provider can do to us, played to every kind of client, for OpenAI's API and Anthropic's,
 * alone and beside a provider that is well. One line for each fault; exit code 1 unless all is as it must be.
 */

import { type Cell, playAll } from '../support/fault-cells'
import { CLIENTS, type Client } from '../support/fault-clients'
import { FAULTS, type When } from './faults'

const TITLES: Record<When, string> = {
  before: 'Before the first word: the next provider is asked, and nobody sees it',
  middle:
    'In the middle: the answer goes on, begins anew, or ends with an error; never is a part of it shown as all of it',
  harmless: 'Nothing is missing: the answer is whole, and nobody else is asked',
  answer: 'Not a fault but an answer: it is told, and nobody else is asked',
}
const WIDTH = Math.max(...FAULTS.map(({ name }) => name.length))

const say = (line: string) => void process.stdout.write(`${line.trimEnd()}\n`)
const row = (name: string, marks: string[]) => say(`  ${name.padEnd(WIDTH)}  ${marks.join('  ')}`)
const isGood = ({ wrong }: Cell) => wrong.length === 0

function mark(own: Cell[]): string {
  const good = own.filter(isGood).length
  return good === own.length ? 'ok' : `${own.length - good}/${own.length} bad`
}

const cells = await playAll()
row(
  '',
  CLIENTS.map(({ name }) => name),
)
for (const when of Object.keys(TITLES) as When[]) {
  say(`\n${TITLES[when]}`)
  for (const fault of FAULTS.filter((each) => each.when === when)) {
    const own = (client: Client) => cells.filter((cell) => cell.fault === fault && cell.client === client)
    row(
      fault.name,
      CLIENTS.map((client) => mark(own(client)).padEnd(client.name.length)),
    )
  }
}

const bad = cells.filter((cell) => !isGood(cell))
if (bad.length > 0) say('')
for (const { fault, api, company, client, wrong } of bad) {
  say(`${fault.name}, ${api}, ${company}, ${client.name}: ${wrong.join('; ')}`)
}
say(`\n${cells.length - bad.length} passed, ${bad.length} failed`)
process.exit(bad.length > 0 ? 1 : 0)
