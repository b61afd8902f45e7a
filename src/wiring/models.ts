import { type Config, ConfigError } from '../config'
import { Catalog } from '../llm/catalog'
import { configuredProviders } from '../llm/configured'
import { DEMO_MODEL, demoModel } from '../llm/demo'
import { estimated, type ToEstimate } from '../llm/estimate'
import { LiteLlmPeople } from '../llm/litellm-people'
import { ModelsFileError } from '../llm/models-file-error'
import { Rater } from '../llm/rater'
import { Router } from '../llm/router'
import { Tokenizer } from '../llm/tokenizer'
import type { Log } from '../log'
import type { Metrics } from '../plugins/metrics'

export async function openModels({ llm, billing }: Config, metrics: Metrics, log: Log) {
  const { timeouts, modelsFile } = llm
  // Not loaded without a file: the reader of YAML takes a while.
  const { ModelsFileOnDisk } = modelsFile ? await import('../llm/models-reload') : {}
  const file = modelsFile && ModelsFileOnDisk && new ModelsFileOnDisk({ ...modelsFile, timeouts })
  const configured = file ? [] : configuredProviders(llm)
  const { defaultProvider } = llm
  if (defaultProvider && !file && !configured.some(({ name }) => name === defaultProvider)) {
    log.warn(`DEFAULT_PROVIDER is ${defaultProvider}, which is not configured`)
  }
  const demo = !file && configured.length === 0
  const tokenizer = new Tokenizer()
  const estimate = (asked: ToEstimate) => estimated(asked, tokenizer)
  const models: Router = new Router({
    providers: demo ? [demoModel()] : configured,
    defaultModel: demo ? DEMO_MODEL : llm.defaultModel,
    observer: metrics,
    totalMs: timeouts.total,
    onOpen: (provider, model) => log.warn({ provider, model }, 'a model is left alone after failures'),
    rate: (deployment, usage) => rater.rate(deployment, usage),
    estimate,
  })
  const catalog: Catalog = new Catalog((provider, model) => models.listed(provider, model))
  const { unknownPrice: policy, cancelledStreams: cancelled } = billing
  const rater: Rater = new Rater({ catalog, estimate, policy, cancelled })
  metrics.watchBreakers(() => models.open())

  /** @throws ModelsFileError */
  const read = () => {
    if (!file) return
    const { routes, listing, warnings } = file.read()
    for (const warning of warnings) log.warn(`MODELS_FILE, ${warning}`)
    models.use(routes, listing)
  }
  const reloadModels = () => {
    try {
      read()
      void catalog.open(models.everybody())
      log.info({ models: models.routed }, 'MODELS_FILE was read again')
    } catch (err) {
      if (!(err instanceof ModelsFileError)) throw err
      log.error({ problems: err.problems }, 'MODELS_FILE cannot be used; the models stay as they are')
    }
  }
  try {
    read()
  } catch (error) {
    if (!(error instanceof ModelsFileError)) throw error
    throw new ConfigError(error.problems.map((problem) => `MODELS_FILE: ${problem}`))
  }
  return { models, catalog, rater, reloadModels }
}

/** Who makes keys for people at the proxy; only where this server keeps their accounts and asks the proxy with its own key. */
export function litellmPeople({ llm, store, supabaseAuth }: Config): LiteLlmPeople | undefined {
  const { litellm, litellmUserKeys, modelsFile } = llm
  if (!litellm?.apiKey || !litellmUserKeys || modelsFile || supabaseAuth || store.kind === 'edge') return undefined
  return new LiteLlmPeople({ baseUrl: litellm.baseUrl, masterKey: litellm.apiKey })
}
