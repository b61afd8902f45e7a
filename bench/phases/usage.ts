import type { ChatServer } from '../hosts'
import { UsageFiller } from '../lib/usage'
import type { Target } from '../targets'
import type { Context } from './context'
import { getter, type LibraryRow, row, sideBySide } from './library'

/** ms at p95. */
const AT_MOST = 50

/** What people and administrators ask of their usage, among a million answers: on Postgres only. */
export async function usagePhase(context: Context, targets: readonly Target[]): Promise<LibraryRow[]> {
  const target = targets.find(({ name }) => name === 'postgres')
  if (!target) return []
  const { theirs, mine } = context.plan.usage.size
  const needs = 30 + (theirs + mine) / 15_000
  const rows = await context.alone('usage', needs, target, () => measure(context, target.host as ChatServer))
  return rows ?? []
}

async function measure({ plan, say }: Context, server: ChatServer): Promise<LibraryRow[]> {
  const { requests, size } = plan.usage
  const filler = new UsageFiller(server.databaseUrl ?? '', size)
  try {
    say(`usage: writing ${size.theirs + size.mine} answers of ${size.people + 1} people`)
    const { records, quarters } = await filler.fill(server.email)
    say(`usage: asking, among ${records} answers in ${quarters} rows of sums`)
    const get = getter(server)
    const year = `from=${daysAgo(364)}&time_zone=America/New_York`
    const asked: [string, string][] = [
      ['the last 30 days, by day', '/v1/user/usage'],
      ['the last 30 days, by conversation', '/v1/user/usage?group_by=conversation'],
      ['a year, by day, in New York', `/v1/user/usage?${year}`],
      ['a year, by model, in New York', `/v1/user/usage?${year}&group_by=model`],
      ['what I have, and spent this month', '/v1/user/balance'],
    ]
    const mine = await sideBySide(
      requests,
      asked.map(([, path]) => get(path)),
    )
    const [tenant] = await sideBySide(Math.ceil(requests / 10), [get('/v1/admin/usage?group_by=model')])
    return [
      ...asked.map(([what], i) => row(`one of ${size.mine} answers: ${what}`, mine[i] ?? tenant, AT_MOST)),
      row('the tenant: the last 30 days, by model', tenant),
    ]
  } finally {
    await filler.close()
  }
}

const daysAgo = (days: number): string => new Date(Date.now() - days * 86_400_000).toISOString().slice(0, 10)
