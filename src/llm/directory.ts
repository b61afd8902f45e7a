import { AppError } from '../errors'
import type { ModelInfo, Provider } from './port'

/** Milliseconds after which a provider's model list is asked for again, in the background. */
const FRESH_FOR = 300_000
/** Milliseconds a caller waits for a provider's list when there is none yet. */
const WAIT = 5000

interface Listing {
  models: ModelInfo[]
  at: number
  refreshing?: Promise<void> | undefined
}

/** Which provider has which model. Lists are kept and served stale while a provider is down. */
export class ModelDirectory {
  private readonly listings = new Map<Provider, Listing>()

  /** @param providers in order of preference; never empty. @param defaultModel what answers when nobody chooses. */
  constructor(
    private readonly providers: [Provider, ...Provider[]],
    private readonly chosenDefault: string | undefined,
  ) {}

  /**
   * All models, each once. @param personalKey for a provider that tells only those who have a key.
   * @throws AppError UPSTREAM_* when no provider has ever told.
   */
  async list(personalKey?: string | null): Promise<ModelInfo[]> {
    const results = await Promise.allSettled(this.providers.map((provider) => this.modelsOf(provider, personalKey)))
    const models = new Map<string, ModelInfo>()
    for (const result of results) {
      if (result.status === 'fulfilled') for (const m of result.value) if (!models.has(m.id)) models.set(m.id, m)
    }
    const [first] = results
    if (models.size === 0 && first?.status === 'rejected') throw first.reason
    return [...models.values()]
  }

  /** The model that answers when nobody chooses. @throws AppError when no provider offers any. */
  async defaultModel(personalKey?: string | null): Promise<string> {
    if (this.chosenDefault) return this.chosenDefault
    const [first] = await this.list(personalKey)
    if (!first)
      throw new AppError('UPSTREAM_UNAVAILABLE', 'No model is available. Set DEFAULT_MODEL or check the provider')
    return first.id
  }

  /**
   * The provider for a model: the first that lists it, else the first that may know models it does not list.
   * @throws AppError NOT_FOUND when there is none.
   */
  async providerOf(model: string, personalKey?: string | null): Promise<Provider> {
    const [only, second] = this.providers
    if (!second && !only.listsAll) return only
    for (const provider of this.providers) {
      const models = await this.modelsOf(provider, personalKey).catch(() => [])
      if (models.some(({ id }) => id === model)) return provider
    }
    const open = this.providers.find(({ listsAll }) => !listsAll)
    if (open) return open
    throw new AppError('NOT_FOUND', `There is no model ${model.slice(0, 100)}. GET /v1/models lists what there is`)
  }

  /** How to see, per provider, whether it answers: what `/health` does. */
  checks(): { name: string; check: () => Promise<void> }[] {
    return this.providers.map((provider) => ({
      name: provider.name,
      check: () => provider.ping?.(AbortSignal.timeout(WAIT)) ?? this.refresh(provider),
    }))
  }

  private async modelsOf(provider: Provider, personalKey?: string | null): Promise<ModelInfo[]> {
    const known = this.listings.get(provider)
    if (!known) {
      await this.refresh(provider, personalKey)
    } else if (Date.now() - known.at > FRESH_FOR && !known.refreshing) {
      // Whoever asks gets the old list now; a failed refresh keeps it and is tried again by the next one who asks.
      known.refreshing = this.refresh(provider, personalKey)
        .catch(() => {})
        .finally(() => {
          known.refreshing = undefined
        })
    }
    return this.listings.get(provider)?.models ?? []
  }

  private async refresh(provider: Provider, personalKey?: string | null): Promise<void> {
    const models = await provider.models(AbortSignal.timeout(WAIT), personalKey)
    this.listings.set(provider, { models, at: Date.now() })
  }
}
