import { AppError } from '../../errors'
import { toUsd } from '../../lib/money'
import type { Catalog } from '../../llm/catalog'
import type { ModelFacts } from '../../llm/facts'
import type { ModelInfo } from '../../llm/port'
import type { Rates } from '../../llm/prices'
import type { Asker, Router } from '../../llm/router'
import type { Route } from '../../llm/routes'
import type { User, WalletStore } from '../../store/port'
import type { Tenants } from '../tenants/service'

/** What there is to know about the models that a person may use. */
export class Models {
  constructor(
    private readonly models: Router,
    private readonly catalog: Catalog,
    private readonly wallets: WalletStore,
    private readonly tenants: Pick<Tenants, 'access'>,
  ) {}

  /** In OpenAI's words. */
  async list(user: User) {
    const models = await this.models.list(await this.asker(user))
    return { object: 'list', data: models.map(openAiModel) }
  }

  /** With all that is known of each. */
  async rich(user: User) {
    const asker = await this.asker(user)
    const models = await this.models.list(asker)
    return { models: await this.describe(models, asker), price_book: this.catalog.priceBook }
  }

  /** The models of a provider, when that is what it names; undefined otherwise. A model's maker counts as one. */
  async ofProvider(user: User, name: string) {
    const { models, price_book } = await this.rich(user)
    const wanted = name.toLowerCase()
    const found = models.filter((model) => sidesOf(model).includes(wanted))
    const known = found.length > 0 || this.models.everybody().some((provider) => provider.name === wanted)
    return known ? { provider: wanted, models: found, price_book } : undefined
  }

  /** One model, in OpenAI's words. @throws AppError NOT_FOUND with names that may have been meant. */
  async find(user: User, id: string) {
    return openAiModel(await this.known(id, await this.asker(user)))
  }

  /** One model with all that is known of it. @throws AppError NOT_FOUND with names that may have been meant. */
  async info(user: User, id: string) {
    const asker = await this.asker(user)
    const [model] = await this.describe([await this.known(id, asker)], asker)
    return { ...model, price_book: this.catalog.priceBook }
  }

  private async asker(user: User): Promise<Asker> {
    const [{ litellmKey }, access] = await Promise.all([this.wallets.of(user), this.tenants.access(user)])
    return { ...user, ...access, personalKey: litellmKey }
  }

  /** What this person may not use is not shown to them either. */
  private async known(id: string, asker: Asker): Promise<ModelInfo> {
    const model = (await this.models.list(asker)).find((model) => model.id === id)
    if (!model) throw await this.models.unknown(id, asker)
    return model
  }

  private async describe(models: ModelInfo[], asker: Asker) {
    await this.catalog.open(this.models.everybody())
    const described = models.map(async (model) => {
      // It may go with a reload, between the list and this.
      const route = await this.models.resolve(model.id, asker).catch(goneIsGone)
      return route ? [this.described(model, route)] : []
    })
    return (await Promise.all(described)).flat()
  }

  private described(model: ModelInfo, route: Route) {
    const [first] = route.deployments
    const facts = this.catalog.facts(first)
    const { status, deployments, available, firstTokenMs } = this.models.standing(route)
    return {
      ...openAiModel(model),
      provider: facts.vendor ?? first.provider.name,
      display_name: facts.displayName ?? null,
      context_window: facts.contextWindow ?? null,
      max_output_tokens: facts.maxOutputTokens ?? null,
      capabilities: facts.capabilities ?? null,
      pricing: pricingOf(facts),
      deprecated: facts.deprecated ?? isPast(facts.deprecatedAt),
      deprecated_at: facts.deprecatedAt ?? null,
      health: { status, deployments, available, first_token_ms: firstTokenMs },
    }
  }
}

const openAiModel = ({ id, created, ownedBy }: ModelInfo) => ({ id, object: 'model', created, owned_by: ownedBy })

const goneIsGone = (error: unknown): undefined => {
  if (error instanceof AppError && ['NOT_FOUND', 'FORBIDDEN'].includes(error.code)) return
  throw error
}

/** What one may call those who stand behind a model. */
function sidesOf({ id, owned_by, provider }: { id: string; owned_by: string; provider: string }): string[] {
  const prefix = id.includes('/') ? id.split('/', 1) : []
  return [owned_by, provider, ...prefix].map((name) => name.toLowerCase())
}

/** US dollars per million tokens; null: nobody has said. What few models have is only there where it is known. */
const ratesOf = ({ input, cachedInput, cacheWrite, output, reasoning, ...rest }: Rates) => ({
  input: usd(input),
  cached_input: usd(cachedInput),
  cache_write: usd(cacheWrite),
  output: usd(output),
  reasoning: usd(reasoning),
  ...Object.fromEntries(RARE.flatMap(([name, kind]) => (rest[kind] === undefined ? [] : [[name, usd(rest[kind])]]))),
})

const RARE = [
  ['cache_write_hour', 'cacheWriteHour'],
  ['image_input', 'imageInput'],
  ['audio_input', 'audioInput'],
  ['cached_audio', 'cachedAudio'],
  ['audio_output', 'audioOutput'],
] as const

const usd = (nanos: bigint | undefined): number | null => (nanos === undefined ? null : toUsd(nanos))

function pricingOf({ prices, priceSource }: ModelFacts) {
  if (!prices) return null
  const above = prices.above?.map(({ tokens, rates }) => ({ input_tokens: tokens, ...ratesOf(rates) }))
  return {
    currency: 'USD',
    per_tokens: 1_000_000,
    ...ratesOf(prices),
    ...(above ? { above } : {}),
    source: priceSource ?? null,
  }
}

const isPast = (day: string | undefined): boolean => day !== undefined && day <= new Date().toISOString().slice(0, 10)
