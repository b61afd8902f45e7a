import { ANTHROPIC_URL, anthropic } from './anthropic'
import { azureOpenAi } from './azure'
import type { Timeouts } from './deadlines'
import type { ModelFacts } from './facts'
import { filePrices } from './file-prices'
import { liteLlm } from './litellm'
import type { InfoEntry, ModelEntry, ModelsFile, ProviderEntry } from './models-file-schema'
import { openAiCompatible } from './openai-compatible'
import type { Provider } from './port'
import type { Deployment, Route } from './routes'

const OPENAI_URL = 'https://api.openai.com/v1'

/** The providers of a checked file, by name. @param kept see `ModelsFileOptions`; afterwards it holds these. */
export function providersOf(
  file: ModelsFile,
  { timeouts, kept = new Map() }: { timeouts: Timeouts; kept?: Map<string, Provider> },
): Map<string, Provider> {
  const made = new Map<string, [string, Provider]>()
  for (const [name, entry] of Object.entries(file.providers)) {
    // Azure lists nothing of what it has deployed here.
    const deployments = entry.kind === 'azure' ? namesAt(name, file) : []
    const definition = JSON.stringify([name, entry, deployments, timeouts])
    const provider = kept.get(definition) ?? {
      ...providerOf(name, entry, { timeouts, deployments }),
      ...leaving(entry),
    }
    made.set(name, [definition, provider])
  }
  kept.clear()
  for (const [definition, provider] of made.values()) kept.set(definition, provider)
  return new Map([...made].map(([name, [, provider]]) => [name, provider]))
}

function providerOf(
  name: string,
  entry: ProviderEntry,
  { timeouts: defaults, deployments }: { timeouts: Timeouts; deployments: string[] },
): Provider {
  const { kind, base_url, api_key: apiKey, api_version: apiVersion, personal_keys: personalKeys } = entry
  const baseUrl = base_url?.replace(/\/+$/, '')
  const timeouts = limitsOf(entry.timeouts, defaults)
  switch (kind) {
    case 'openai':
      return openAiCompatible({
        name,
        baseUrl: baseUrl ?? OPENAI_URL,
        apiKey,
        personalKeys: personalKeys ?? false,
        timeouts,
      })
    case 'anthropic':
      return anthropic({ name, baseUrl: baseUrl ?? ANTHROPIC_URL, apiKey, timeouts })
    case 'litellm':
      return liteLlm({ name, baseUrl: baseUrl ?? '', apiKey, personalKeys: personalKeys ?? true, timeouts })
    case 'azure':
      return azureOpenAi({ name, endpoint: baseUrl ?? '', apiKey: apiKey ?? '', deployments, apiVersion, timeouts })
  }
}

/** What becomes of a stream whose reader left, where the file says. */
const leaving = ({ cancelled }: ProviderEntry): Pick<Provider, 'cancelled'> => (cancelled ? { cancelled } : {})

/** The file says seconds. */
function limitsOf(said: ProviderEntry['timeouts'], defaults: Timeouts): Timeouts {
  const ms = (seconds: number | undefined, other: number) => (seconds === undefined ? other : seconds * 1000)
  return {
    connect: ms(said?.connect, defaults.connect),
    firstToken: ms(said?.first_token, defaults.firstToken),
    idle: ms(said?.idle, defaults.idle),
    total: ms(said?.total, defaults.total),
  }
}

const namesAt = (provider: string, { models = {} }: ModelsFile): string[] => [
  ...new Set(
    Object.entries(models).flatMap(([name, { deployments }]) =>
      deployments.flatMap((deployment) => (deployment.provider === provider ? [deployment.model ?? name] : [])),
    ),
  ),
]

/** The routes of a checked file, in its order. */
export const routesOf = ({ models = {} }: ModelsFile, providers: Map<string, Provider>): Route[] =>
  Object.entries(models).flatMap(([model, entry]) => routeOf(model, entry, providers) ?? [])

function routeOf(model: string, entry: ModelEntry, providers: Map<string, Provider>): Route | undefined {
  const [first, ...others] = entry.deployments.flatMap((said): Deployment[] => {
    const provider = providers.get(said.provider)
    if (!provider) return []
    const name = said.model ?? model
    const facts = { ...factsOf(entry.info), ...factsOf(said.info) }
    return [
      {
        id: said.id ?? said.provider,
        provider,
        model: name,
        weight: said.weight ?? 1,
        prefill: said.prefill ?? provider.prefills?.(name) ?? false,
        ...(Object.keys(facts).length > 0 ? { facts } : {}),
      },
    ]
  })
  if (!first) return undefined
  return {
    model,
    strategy: entry.strategy ?? 'ordered',
    deployments: [first, ...others],
    ...(entry.hedge_after === undefined ? {} : { hedgeAfterMs: entry.hedge_after * 1000 }),
    ...(entry.allow ? { allow: entry.allow } : {}),
    ...(entry.split ? { split: entry.split } : {}),
  }
}

/** Only what is said, so that what is said nearer goes over it. */
function factsOf(info: InfoEntry = {}): ModelFacts {
  const { display_name, context_window, max_output_tokens, capabilities, deprecated_at } = info
  const prices = filePrices(info)
  const facts: ModelFacts = {
    displayName: display_name,
    contextWindow: context_window,
    maxOutputTokens: max_output_tokens,
    capabilities,
    deprecatedAt: deprecated_at,
    ...(prices ? { prices, priceSource: 'models_file' } : {}),
  }
  return Object.fromEntries(Object.entries(facts).filter(([, fact]) => fact !== undefined))
}
