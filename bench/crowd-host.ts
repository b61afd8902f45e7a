import { readFileSync } from 'node:fs'
import { ChatServer } from './hosts'

/** Files a process needs besides its connections. */
const FEW = 120

/** This server with no limit but the machine's on how many answers it makes at once. */
export class CrowdServer extends ChatServer {
  protected override env(): Record<string, string> {
    return { ...super.env(), MAX_CONCURRENT_ANSWERS: '100000' }
  }
}

/**
 * How many answers there can be at once: each needs a connection to the provider besides its own to the client. Sockets are open
 * without an answer, too.
 */
export function answersFor(connections: number, areSockets: boolean): number {
  const room = openFiles() - FEW
  return Math.min(connections, areSockets ? room - connections : Math.floor(room / 2))
}

/** Of this process, and of its children. */
export function openFiles(): number {
  try {
    const [, soft = ''] = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
    return soft === '' ? Number.POSITIVE_INFINITY : Number(soft)
  } catch {
    return Number.POSITIVE_INFINITY
  }
}
