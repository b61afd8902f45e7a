import { expect } from 'bun:test'
import { Pool } from 'pg'

// What Postgres does for each request, in its own words: `auto_explain` reports the plan of every statement as it was carried
// out, those inside functions included.

export interface Plan {
  'Node Type': string
  'Relation Name'?: string
  'Index Name'?: string
  'Actual Rows': number
  'Actual Loops': number
  'Rows Removed by Filter'?: number
  Plans?: Plan[]
}

/** Postgres on its own words about what it does. */
export interface Explained {
  pool: Pool
  /** All nodes of the plans that `request` makes it carry out. */
  nodesOf: (request: () => Promise<unknown>) => Promise<Plan[]>
}

export function openExplained(url: string, { max }: { max: number }): Explained {
  let reported: Plan[] = []
  const options = Object.entries({
    session_preload_libraries: 'auto_explain',
    'auto_explain.log_min_duration': 0,
    'auto_explain.log_nested_statements': 'on',
    'auto_explain.log_analyze': 'on',
    'auto_explain.log_timing': 'off',
    'auto_explain.log_format': 'json',
    'auto_explain.log_level': 'notice',
    // A plan that depends on the machine's mood would be no test.
    jit: 'off',
    max_parallel_workers_per_gather: 0,
  }).map(([name, value]) => `-c ${name}=${value}`)
  const pool = new Pool({ connectionString: url, max, options: options.join(' ') })
  pool.on('connect', (client) => {
    client.on('notice', ({ message: text }) => {
      if (text?.startsWith('duration: ')) {
        reported.push((JSON.parse(text.slice(text.indexOf('{'))) as { Plan: Plan }).Plan)
      }
    })
  })
  return {
    pool,
    async nodesOf(request) {
      reported = []
      await request()
      return reported.flatMap(all)
    },
  }
}

const all = (plan: Plan): Plan[] => [plan, ...(plan.Plans ?? []).flatMap(all)]

/** Rows that a node looked at. */
const rowsOf = (node: Plan) => (node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0)) * node['Actual Loops']

/** Rows that a request made Postgres look at in these tables, and those of them that it read whole. */
export async function workIn(
  { nodesOf }: Pick<Explained, 'nodesOf'>,
  tables: string[],
  request: () => Promise<unknown>,
): Promise<{ rows: number; whole: string[] }> {
  const nodes = (await nodesOf(request)).filter((node) => tables.includes(node['Relation Name'] ?? ''))
  expect(nodes.length).toBeGreaterThan(0)
  return {
    rows: nodes.reduce((sum, node) => sum + rowsOf(node), 0),
    // Of a handful of rows Postgres rightly uses no index.
    whole: nodes.flatMap((node) =>
      node['Node Type'] === 'Seq Scan' && rowsOf(node) > 50 ? [String(node['Relation Name'])] : [],
    ),
  }
}
