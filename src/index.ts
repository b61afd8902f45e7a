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

const services = await wire(config, log, die).catch((error: unknown) => fail(error))
const app = createApp(services)
const { server } = app.listen({
  hostname: config.server.host,
  port: config.server.port,
  reusePort: false,
})
void greet()

for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void drain(signal))

/**
 * Readiness first, so that load balancers look elsewhere, while what runs may finish; then the door is closed, then the
 * database. A second signal means now.
 */
async function drain(signal: string) {
  log.info({ signal, active_runs: services.runs.active }, 'stopping')
  for (const again of ['SIGTERM', 'SIGINT'] as const) process.once(again, () => process.exit(1))
  services.health.draining = true
  await services.runs.close(config.server.drainTimeout * 1000)
  // Readers get their last frames; whoever does not take them within two seconds is not listening.
  await Promise.race([server?.stop(), Bun.sleep(2000)])
  await server?.stop(true)
  await services.close()
  log.info('stopped')
  process.exit(0)
}

async function greet() {
  const { port } = server ?? config.server
  const base = `http://localhost:${port}`
  const model = await services.models.defaultModel().catch((error: Error) => `none (${error.message})`)
  log.info({ url: base, docs: `${base}/docs`, model, store: services.store.kind }, 'ready')
  process.stderr.write(`\n  Chat server   ${base}\n  Documentation ${base}/docs\n  Answers come from ${model}\n\n`)
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

/** An operator's mistake gets a sentence, not a stack. */
function fail(error: unknown): never {
  const message = error instanceof Error ? error.message : String(error)
  process.stderr.write(`${message}\n`)
  process.exit(1)
}
