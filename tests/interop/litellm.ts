/** A real LiteLLM proxy in front of the fake provider. */
import { join } from 'node:path'
import { freePort } from '../support/servers'
import { type Child, plainEnv, startChild, waitUntilReady } from './children'

export const MASTER_KEY = 'sk-interop-master'
export const MOCK_ANSWER = 'Hello from the proxy'

/** LiteLLM's model name → behaviour of the fake provider. */
export const ROUTES: Record<string, string> = {
  echo: 'echo',
  // What the examples of the system before ask for.
  'gpt-4': 'echo',
  // Names with a slash are common in LiteLLM.
  'house/echo': 'echo',
  'slow-50': 'slow:50:200',
  'brief-50': 'slow:50:20',
  tools: 'tools',
  'two-tools': 'tools:2',
  reasoning: 'reasoning',
  n: 'n',
  json: 'json',
  length: 'length',
  'content-filter': 'content-filter',
  'no-usage': 'no-usage',
  embed: 'embed',
  'split-utf8': 'split-utf8',
  'status-400': 'status:400',
  'status-401': 'status:401',
  'status-429': 'status:429',
  'status-500': 'status:500',
  'error-after-3': 'error-after:3',
  'cut-after-3': 'cut-after:3',
  // Whoever fails often is left alone for a while: those who look at failures themselves have models of their own.
  'broken-5': 'error-after:3',
  'broken-6': 'error-after:3',
  'broken-7': 'error-after:3',
}
export const MOCK_MODEL = 'house/mock'
export const MODEL_NAMES = [...Object.keys(ROUTES), MOCK_MODEL]

/** US dollars, of every model. */
const PRICE = { input_cost_per_token: 0.000001, output_cost_per_token: 0.000002 }

const START_LIMIT_MS = 120_000

export async function startLiteLlm(command: string, providerUrl: string, folder: string): Promise<string> {
  const config = join(folder, 'litellm.json')
  await Bun.write(config, JSON.stringify(configFor(providerUrl)))
  const port = await freePort()
  const child: Child = startChild({
    name: 'litellm',
    command: [command, '--config', config, '--host', '127.0.0.1', '--port', String(port), '--telemetry', 'False'],
    env: plainEnv({
      LITELLM_LOCAL_MODEL_COST_MAP: 'True',
      LITELLM_TELEMETRY: 'False',
      LITELLM_LOG: 'ERROR',
      DISABLE_ADMIN_UI: 'True',
      NO_PROXY: '127.0.0.1',
    }),
    cwd: folder,
    logDir: folder,
  })
  const url = `http://127.0.0.1:${port}`
  await waitUntilReady(child, `${url}/health/readiness`, START_LIMIT_MS)
  return url
}

/** LiteLLM reads YAML, and JSON is YAML. */
function configFor(providerUrl: string): unknown {
  const routes = Object.entries(ROUTES).map(([name, behaviour]) => ({
    model_name: name,
    litellm_params: {
      model: `openai/${behaviour}`,
      api_base: providerUrl,
      api_key: 'sk-fake-provider',
    },
    model_info: PRICE,
  }))
  const mock = {
    model_name: MOCK_MODEL,
    litellm_params: {
      model: 'openai/mock',
      api_key: 'sk-unused',
      mock_response: MOCK_ANSWER,
    },
    model_info: PRICE,
  }
  return {
    model_list: [...routes, mock],
    general_settings: { master_key: MASTER_KEY },
    litellm_settings: { telemetry: false, num_retries: 0 },
    // A model that fails on purpose must fail the same way the next time.
    router_settings: { num_retries: 0, disable_cooldowns: true },
  }
}
