/**
 * The load generator, a process of its own: one job per line on stdin, one result per line on stdout.
 *
 *   echo '{"mode":"closed","aim":{"port":9001,"key":"x","shape":"stateless","model":"bench:8x100","tokens":8},
 *     "concurrency":10,"requests":100,"seconds":10,"warmup":1}' | tr -d '\n' | bun bench/load.ts
 *
 * It uses raw sockets and its own small parser: `fetch` would cost more than what it measures.
 */
import type { Job } from './lib/job'
import { closed } from './modes/closed'
import { crowd } from './modes/crowd'
import { hold } from './modes/hold'
import { idle } from './modes/idle'
import { open } from './modes/open'
import { remote } from './modes/remote'

function run(job: Job): Promise<object> {
  switch (job.mode) {
    case 'closed':
      return closed(job)
    case 'open':
      return open(job)
    case 'crowd':
      return crowd(job)
    case 'remote':
      return remote(job)
    case 'hold':
      return hold(job)
    case 'idle':
      return idle(job)
  }
}

for await (const line of console) {
  if (line.trim() !== '') process.stdout.write(`${JSON.stringify(await run(JSON.parse(line) as Job))}\n`)
}
process.exit(0)
