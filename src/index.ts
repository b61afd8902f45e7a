import { type Config, ConfigError, loadConfig } from './config'
import { openLog } from './log'
import { openEmbedded } from './wiring/embedded'
import { linkOf } from './workers/link'

/** Upstream connections Bun allows at once unless told otherwise before it starts. */
const BUN_DEFAULT_REQUESTS = '256'

const config = readConfig()
const link = linkOf(process.env)
const log = openLog(config.logLevel, link && { worker: link.place })

// A detached promise that fails is a bug to be seen, not a reason to drop everybody's answers.
process.on('unhandledRejection', (err) => log.error({ err }, 'unhandled rejection'))
process.on('uncaughtException', (err) => log.error({ err }, 'uncaught exception'))
if (!link && !process.env.BUN_CONFIG_MAX_HTTP_REQUESTS) {
  log.warn(
    `BUN_CONFIG_MAX_HTTP_REQUESTS is not set: at most ${BUN_DEFAULT_REQUESTS} answers can be made at once. Start with \`bun start\`, or set it to 65535 in the environment`,
  )
}

await (config.server.workers > 1 && !link ? supervise(config) : serve()).catch(fail)

/** Loaded here, so that a supervisor is spared all of it. */
async function serve() {
  // Opens while everything else is loaded.
  const embedded = config.store.kind === 'pglite' ? openEmbedded(config.store, die) : undefined
  // Whoever waits for it hears of a failure.
  embedded?.catch(() => {})
  const { serve } = await import('./serve')
  await serve({ config, log, link, embedded, onFatal: die })
}

/** What is lost here is found again by the next start: rows are on disk, running answers up to a second ago. */
function die(err: Error) {
  log.fatal({ err }, 'the embedded database stopped; exiting so that a restart can open it again')
  process.exit(1)
}

/** Only starts others and waits for their end. */
async function supervise({ server, redisUrl, llm }: Config) {
  const { superviseServers } = await import('./workers/servers')
  if (!redisUrl)
    log.warn(
      'WORKERS without REDIS_URL: whoever reads an answer through another process gets it in one piece, and each process counts limits for itself',
    )
  const code = await superviseServers({
    ...server,
    command: [process.execPath, ...process.execArgv, import.meta.path],
    env: process.env,
    reloads: llm.modelsFile !== undefined,
    log: (level, facts, message) => log[level](facts, message),
  })
  process.exit(code)
}

function readConfig() {
  try {
    return loadConfig(process.env)
  } catch (error) {
    if (error instanceof ConfigError) return fail(error)
    throw error
  }
}

/** An operator's mistake gets a sentence, not a stack. */
function fail(error: unknown): never {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`)
  process.exit(1)
}
