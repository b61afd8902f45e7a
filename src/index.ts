import { createApp } from './app'
import { ConfigError, loadConfig } from './config'
import { openLog } from './log'
import { wire } from './wire'

/** Upstream connections Bun allows at once unless told otherwise before it starts. */
const BUN_DEFAULT_REQUESTS = '256'

const config = readConfig()
const log = openLog(config.logLevel)

// A detached promise that fails is a bug to be seen, not a reason to drop everybody's answers.
process.on('unhandledRejection', (err) => log.error({ err }, 'unhandled rejection'))
process.on('uncaughtException', (err) => log.error({ err }, 'uncaught exception'))
if (!process.env.BUN_CONFIG_MAX_HTTP_REQUESTS) {
  log.warn(
    `BUN_CONFIG_MAX_HTTP_REQUESTS is not set: at most ${BUN_DEFAULT_REQUESTS} answers can be made at once. Start with \`bun start\`, or set it to 65535 in the environment`,
  )
}

const services = await wire(config, log, die).catch((error: unknown) =>
  fail(
    config.store.kind === 'postgres' && !(error instanceof ConfigError)
      ? `The database of DATABASE_URL cannot be used: ${reasonOf(error)}`
      : error,
  ),
)
const app = createApp(services)
const server = await listen()
void greet()

for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void drain(signal))
// Without a models file it means what it means to any program: the terminal is gone.
if (config.llm.modelsFile) process.on('SIGHUP', services.reloadModels)

/**
 * Readiness first, so that load balancers look elsewhere, while what runs may finish; then the door is closed, then the
 * database. A second signal means now.
 */
async function drain(signal: string) {
  const deadline = performance.now() + config.server.drainTimeout * 1000
  log.info({ signal, active_runs: services.runs.active }, 'stopping')
  for (const again of ['SIGTERM', 'SIGINT'] as const) process.once(again, () => process.exit(1))
  services.health.draining = true
  await services.runs.close(config.server.drainTimeout * 1000)
  // Readers get their last frames, and answers that are not stored (no run waits for them) the rest of the time; whoever
  // takes nothing for two seconds after that is not listening.
  await Promise.race([server?.stop(), Bun.sleep(Math.max(2000, deadline - performance.now()))])
  await server?.stop(true)
  await services.close()
  log.info('stopped')
  process.exit(0)
}

/** Whoever cannot listen lets the database go properly, for the next attempt. */
async function listen() {
  const { host, port } = config.server
  try {
    return app.listen({ hostname: host, port, reusePort: false }).server
  } catch (error) {
    await services.runs.close(0)
    await services.close()
    const taken = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE'
    return fail(taken ? `Port ${port} is taken: stop what listens there, or set PORT` : error)
  }
}

async function greet() {
  const { port } = server ?? config.server
  const base = `http://localhost:${port}`
  const model = await services.models.defaultModel().catch((error: Error) => `none (${error.message})`)
  log.info({ url: base, docs: `${base}/docs`, model, store: services.store.kind }, 'ready')
  process.stderr.write(`\n  Chat server   ${base}\n  Documentation ${base}/docs\n  Answers come from ${model}\n\n`)
  // Once requests are served: reading the price book takes a moment.
  await services.catalog.open(services.models.everybody())
}

function readConfig() {
  try {
    return loadConfig(process.env)
  } catch (error) {
    if (error instanceof ConfigError) return fail(error)
    throw error
  }
}

/** What is lost here is found again by the next start: rows are on disk, running answers up to a second ago. */
function die(err: Error) {
  log.fatal({ err }, 'the embedded database stopped; exiting so that a restart can open it again')
  process.exit(1)
}

/** What was wrong at the bottom: a failed query's own message is the query. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause ? reasonOf(error.cause) : error.message
}

/** An operator's mistake gets a sentence, not a stack. */
function fail(error: unknown): never {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`)
  process.exit(1)
}
