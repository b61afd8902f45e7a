/**
 * Official SDKs → this server on a real Postgres → a real LiteLLM proxy → the fake provider. `bun run test:interop`.
 * Then curl → this server with the settings of the Python orchestrator → a Supabase project and the same LiteLLM.
 * With `--proxy-only` the SDKs speak to LiteLLM itself, which shows whether a failure is ours or the proxy's.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startFakeProvider } from '../support/fake-provider'
import { installIfMissing } from '../support/install'
import { startPostgres, type TestServer } from '../support/servers'
import { aiSdkSuite } from './ai-sdk'
import { aiSdkUiSuite } from './ai-sdk-ui'
import { anthropicSuite } from './anthropic-js'
import { closing, halt, report, say } from './checks'
import { stopChildren } from './children'
import { conversationSuite } from './conversations'
import { deploySuite } from './deploy'
import { langchainSuite } from './langchain'
import { MASTER_KEY, startLiteLlm } from './litellm'
import { openAiSuite } from './openai-js'
import { openAiResponsesSuite } from './openai-js-responses'
import { openAiPythonSuite } from './openai-python'
import { preparePython } from './python-env'
import { startServer, type Target } from './server'
import { supabaseSuite } from './supabase'

const LIMIT_MS = 8 * 60_000

const proxyOnly = process.argv.includes('--proxy-only')
const folder = mkdtempSync(join(tmpdir(), 'interop-'))
const provider = startFakeProvider()
let postgres: TestServer | undefined

async function main(): Promise<void> {
  const python = await preparePython()
  if (!proxyOnly) await deploySuite(python.validators, folder)
  say('start LiteLLM')
  const litellmUrl = await startLiteLlm(python.litellm, provider.url, folder)
  const target = await targetFor(litellmUrl)
  const setup = { target, provider, proxyOnly }
  await openAiSuite(setup)
  await openAiPythonSuite(setup, python.python)
  await aiSdkSuite(setup)
  if (proxyOnly || !postgres) {
    say('leave out what is stored: LiteLLM keeps no conversations')
    return
  }
  await conversationSuite(setup)
  await openAiResponsesSuite(setup)
  await langchainSuite(setup)
  say('start two servers more, on a provider of each kind')
  await anthropicSuite(provider, folder)
  await aiSdkUiSuite(setup)
  say('start a Supabase project, and this server with the settings of its predecessor')
  await supabaseSuite(setup, { litellmUrl, databaseUrl: postgres.url, folder })
}

async function targetFor(litellmUrl: string): Promise<Target> {
  if (proxyOnly)
    return {
      origin: litellmUrl,
      baseURL: `${litellmUrl}/v1`,
      apiKey: MASTER_KEY,
    }
  installIfMissing('postgresql')
  say('start Postgres and this server')
  postgres = await startPostgres(folder, { fsync: true })
  return startServer(litellmUrl, postgres.url, folder)
}

let finishing = false

async function finish(): Promise<void> {
  if (finishing) return
  finishing = true
  halt()
  await stopChildren()
  await postgres?.stop()
  await provider.stop()
  rmSync(folder, { recursive: true, force: true })
  process.exit(closing() ? 0 : 1)
}

function giveUp(why: string): void {
  report('runs to its end', why)
  void finish()
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => giveUp(`stopped by ${signal}`))
setTimeout(() => giveUp(`no end after ${LIMIT_MS / 60_000} minutes`), LIMIT_MS)

try {
  await main()
} catch (error) {
  report('runs to its end', error instanceof Error ? error.message : String(error))
}
await finish()
