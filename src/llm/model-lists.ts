import { toAppError } from '../errors'
import type { ModelInfo, Provider } from './port'

/** Milliseconds after which a provider's model list is asked for again, in the background. */
const FRESH_FOR = 300_000
/** Milliseconds for which a provider that did not tell is not asked again. */
const FAILED_FOR = 10_000
/** Milliseconds a caller waits for a provider's list when there is none yet. */
const WAIT = 5000

/**
 * Gives what was kept of a list, or has it loaded. `theirs`: the key that it is only for; absent when it is everybody's.
 */
export type KeepList = (
  list: { provider: string; baseUrl: string; theirs: string | undefined },
  load: () => Promise<ModelInfo[]>,
) => Promise<ModelInfo[]>

interface Listing {
  models: ModelInfo[]
  byId: Map<string, ModelInfo>
  at: number
}

/** The model lists of providers. They are kept, and served old while a provider is down. */
export class ModelLists {
  private readonly listings = new Map<Provider, Listing>()
  private readonly asking = new Map<Provider, Promise<void>>()
  private readonly failures = new Map<Provider, { error: unknown; at: number; personalKey: string | null }>()
  /** Where servers share what they were told; who looks whether a provider lives goes past it. */
  keep: KeepList | undefined

  /**
   * @param personalKey for a provider that tells only those who have a key.
   * @throws AppError UPSTREAM_* when it has never told.
   */
  async of(provider: Provider, personalKey?: string | null): Promise<ModelInfo[]> {
    const known = this.listings.get(provider)
    if (known) {
      this.renew(provider, personalKey)
      return known.models
    }
    const failure = this.failures.get(provider)
    // What somebody is not told with one key, or with none, another one may be.
    const same = failure?.personalKey === (personalKey ?? null)
    if (failure && same && Date.now() - failure.at < FAILED_FOR) throw failure.error
    await this.ask(provider, personalKey)
    return this.listings.get(provider)?.models ?? []
  }

  /** Whether a provider has a model; undefined while it has not told. Asks nobody for it who would be waited for. */
  has(provider: Provider, model: string, personalKey?: string | null): boolean | undefined {
    const known = this.listings.get(provider)
    if (known) this.renew(provider, personalKey)
    return known?.byId.has(model)
  }

  /** What a provider's list says of a model; undefined while it has not told. Asks nobody. */
  find(provider: Provider, model: string): ModelInfo | undefined {
    return this.listings.get(provider)?.byId.get(model)
  }

  /** Asks now. @throws AppError UPSTREAM_* */
  async refresh(provider: Provider, personalKey?: string | null): Promise<void> {
    this.told(provider, await provider.models(AbortSignal.timeout(WAIT), personalKey))
  }

  private told(provider: Provider, models: ModelInfo[]): void {
    this.listings.set(provider, { models, byId: new Map(models.map((model) => [model.id, model])), at: Date.now() })
    this.failures.delete(provider)
  }

  /** Whoever asks gets the old list now; a failed refresh keeps it and is tried again by the next one who asks. */
  private renew(provider: Provider, personalKey?: string | null): void {
    const known = this.listings.get(provider)
    if (!known || Date.now() - known.at <= FRESH_FOR || this.asking.has(provider)) return
    void this.ask(provider, personalKey).catch(() => {})
  }

  /** Those who come while it is being asked wait for the same answer, unless they bring a key of their own. */
  private ask(provider: Provider, personalKey?: string | null): Promise<void> {
    const asking = this.asking.get(provider)
    if (asking && !provider.personalKeys) return asking
    const asked = this.list(provider, personalKey)
      .then((models) => this.told(provider, models))
      .catch((error: unknown) => {
        if (toAppError(error).fault !== 'key') {
          this.failures.set(provider, { error, at: Date.now(), personalKey: personalKey ?? null })
        }
        throw error
      })
      .finally(() => this.asking.delete(provider))
    this.asking.set(provider, asked)
    return asked
  }

  private async list(provider: Provider, personalKey?: string | null): Promise<ModelInfo[]> {
    const { name, baseUrl, ping } = provider
    const load = () => provider.models(AbortSignal.timeout(WAIT), personalKey)
    if (!this.keep || !baseUrl) return load()
    // Only who has no key of the server's is asked with a person's.
    return this.keep({ provider: name, baseUrl, theirs: (ping && personalKey) || undefined }, load)
  }
}
