import { createApp } from './app'
import { type Config, ConfigError } from './config'
import { drain, drainLimit } from './drain'
import type { Log } from './log'
import { wire } from './wire'
import type { EmbeddedOptions } from './wiring/store'
import type { Link } from './workers/link'
import { Siblings } from './workers/siblings'

export interface ServeOptions extends EmbeddedOptions {
  config: Config
  log: Log
  /** The supervisor, where this process is one of several on the port. */
  link?: Link | undefined
}

/** One server, from its start to its end. @throws an Error whose message is for the operator. */
export async function serve({ config, log, link, ...opening }: ServeOptions): Promise<void> {
  const services = await wire(config, log, opening).catch((error: unknown) => {
    if (config.store.kind !== 'postgres' || error instanceof ConfigError) throw error
    throw new Error(`The database of DATABASE_URL cannot be used: ${reasonOf(error)}`)
  })
  const server = await listen()
  if (link) join(link)
  else onSignals()
  // Without a models file it means what it means to any program: the terminal is gone.
  if (config.llm.modelsFile) process.on('SIGHUP', services.reloadModels)
  await greet()

  /** Whoever cannot listen lets the database go properly, for the next attempt. */
  async function listen() {
    const { host, port } = config.server
    try {
      return createApp(services).listen({ hostname: host, port, reusePort: link !== undefined }).server
    } catch (error) {
      await services.runs.close(0)
      await services.close()
      const taken = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE'
      throw taken ? new Error(`Port ${port} is taken: stop what listens there, or set PORT`) : error
    }
  }

  /** A second signal means now. */
  function onSignals() {
    const stop = (signal: string) => {
      for (const again of ['SIGTERM', 'SIGINT'] as const) process.once(again, () => process.exit(1))
      void end(signal)
    }
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, stop)
  }

  /**
   * A worker ends when it is told to, by its supervisor or by the death of that. Signals may come twice, from the supervisor and
   * from whoever tells all processes of a group, and a terminal's interrupt is for the supervisor.
   */
  function join({ send, onMessage, onGone }: Link) {
    const siblings = new Siblings({ send, count: () => services.metrics.counted() })
    services.metrics.addUpWith(() => siblings.metrics())
    onMessage((message) => void siblings.hear(message))
    let ending = false
    const once = (why: string) => {
      if (ending) return
      ending = true
      void end(why)
    }
    process.on('SIGTERM', once)
    process.on('SIGINT', () => {})
    onGone(() => once('the supervisor is gone'))
    send({ kind: 'ready' })
  }

  async function end(signal: string) {
    log.info({ signal, active_runs: services.runs.active }, 'stopping')
    // Should the drain itself hang: it has limits of its own.
    setTimeout(() => process.exit(1), drainLimit(config) + 1000).unref()
    await drain({ config, services, log, stop: async (now) => server?.stop(now) })
    log.info('stopped')
    process.exit(0)
  }

  async function greet() {
    const { port } = server ?? config.server
    const base = `http://localhost:${port}`
    const model = await services.models.defaultModel().catch((error: Error) => `none (${error.message})`)
    log.info({ url: base, docs: `${base}/docs`, model, store: services.store.kind }, 'ready')
    if (!link || link.place === 1) {
      process.stderr.write(`\n  Chat server   ${base}\n  Documentation ${base}/docs\n  Answers come from ${model}\n\n`)
    }
    // Once requests are served: reading the price book takes a moment.
    await services.catalog.open(services.models.everybody())
  }
}

/** What was wrong at the bottom: a failed query's own message is the query. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause ? reasonOf(error.cause) : error.message
}
