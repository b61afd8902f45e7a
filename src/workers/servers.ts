import { Supervisor, type SupervisorOptions } from './supervisor'

export interface ServersOptions extends Pick<SupervisorOptions, 'command' | 'env' | 'log'> {
  host: string
  port: number
  workers: number
  /** Seconds that a worker takes to end at most, unless that is less than it needs. */
  drainTimeout: number
  /** Whether SIGHUP has them read something again. */
  reloads: boolean
}

/**
 * Keeps servers on one port, which the system shares out among them, until a signal ends this process. @returns its exit code.
 * @throws an Error whose message is for the operator.
 */
export async function superviseServers(asked: ServersOptions): Promise<number> {
  const { host, port, workers, drainTimeout, reloads, ...options } = asked
  checkPort(host, port)
  const drainMs = 1000 * Math.max(5, drainTimeout)
  const supervisor = new Supervisor({ ...options, count: workers, drainMs })
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => supervisor.stop())
  if (reloads) process.on('SIGHUP', () => supervisor.signal('SIGHUP'))
  options.log('info', { workers, port }, 'supervising')
  return supervisor.run()
}

/** Workers would share the port with a stranger as willingly as with each other, and half of the requests would be lost to it. */
function checkPort(hostname: string, port: number): void {
  try {
    Bun.listen({ hostname, port, socket: { data() {} } }).stop(true)
  } catch {
    throw new Error(`Port ${port} is taken: stop what listens there, or set PORT`)
  }
}
