import { AppError } from '../errors'
import { nearNames } from '../lib/near'
import { hashToken } from '../lib/tokens'
import { armOf, inOrder, Loads } from './balance'
import { Breakers } from './breakers'
import { type EmbeddedBy, embed } from './embeddings'
import { answer } from './failover'
import { type ProviderKeys, payableBy } from './keys'
import { type KeepList, ModelLists } from './model-lists'
import { OwnDeployments } from './own-deployments'
import type { FailoverDeps, Plan, RoutingObserver } from './plan'
import type { ChatModel, EmbedRequest, ModelInfo, Provider } from './port'
import { RetryBudget } from './retry-budget'
import type { Deployment, Route } from './routes'
import { sleep } from './sleep'
import { type Standing, standingOf } from './standing'

/** Milliseconds that a provider has to show that it lives. */
const WAIT = 5000

/** Who wants an answer. */
export interface Asker {
  tenantId: string
  userId: string
  /** Their own key, for providers that have keys of persons. Secret. */
  personalKey?: string | null
  /** Whether the server's key pays there for people who have none. */
  serverKey?: boolean
  /** The models they may use; absent or null: all. */
  models?: readonly string[] | null
  /** Their tenant's own keys, which go before the server's. Secret. */
  providerKeys?: ProviderKeys
}

export interface RouterOptions {
  /** In order of preference. */
  providers: Provider[]
  /** What answers when nobody chooses. */
  defaultModel?: string | undefined
  observer: RoutingObserver
  /** Milliseconds an answer may take in all. */
  totalMs: number
  /** A deployment is left alone from now on. */
  onOpen?: (provider: string, model: string) => void
  /** What an answer costs; default: what its provider says. */
  rate?: FailoverDeps['rate']
  estimate?: FailoverDeps['estimate']
  /** Milliseconds, of a clock that only goes forward. */
  now?: () => number
  random?: () => number
}

/** Knows who can answer for a model, and has them asked. */
export class Router {
  private readonly lists = new ModelLists()
  private readonly deps: FailoverDeps
  private readonly own = new OwnDeployments()
  private routes = new Map<string, Route>()
  private providers: Provider[]

  constructor(private readonly options: RouterOptions) {
    const { observer, totalMs, onOpen = () => {}, now = () => performance.now(), random = Math.random } = options
    const { rate = byProvider, estimate } = options
    this.providers = options.providers
    const breakers = new Breakers({ now, onOpen })
    const budget = new RetryBudget()
    this.deps = { observer, totalMs, now, random, sleep, breakers, loads: new Loads(now), budget, rate, estimate }
  }

  /** From now on lists are asked for where servers share them. */
  shareLists(keep: KeepList): void {
    this.lists.keep = keep
  }

  /**
   * Other routes from now on; answers being made keep theirs. A model without a route is asked of the providers.
   * @param providers default: those there were.
   */
  use(routes: Route[], providers = this.providers): void {
    this.routes = new Map(routes.map((route) => [route.model, route]))
    this.providers = providers
  }

  /**
   * All models that this person may use, each once. Without a person: that anybody may.
   * @throws AppError UPSTREAM_* when no provider has ever told and there are no routes.
   */
  async list(asker?: Asker): Promise<ModelInfo[]> {
    const results = await Promise.allSettled(
      this.providers.map((provider) => this.lists.of(provider, asker?.personalKey)),
    )
    const models = new Map<string, ModelInfo>()
    for (const { model, deployments } of this.routes.values()) {
      models.set(model, { id: model, ownedBy: deployments[0].provider.name, created: 0 })
    }
    for (const result of results) {
      if (result.status === 'fulfilled') for (const m of result.value) if (!models.has(m.id)) models.set(m.id, m)
    }
    const failure = results.find((result) => result.status === 'rejected')
    if (models.size === 0 && failure) throw failure.reason
    return [...models.values()].filter(({ id }) => isOpenTo(this.routes.get(id), asker) && mayUse(asker, id))
  }

  /** The model that answers when nobody chooses. @throws AppError when no provider offers any, or none that they may use. */
  async defaultModel(asker?: Asker): Promise<string> {
    const { defaultModel } = this.options
    if (defaultModel && mayUse(asker, defaultModel)) return defaultModel
    const models = await this.list(asker)
    const first = models.find(({ id }) => !NO_CHAT.test(id)) ?? models[0]
    if (first) return first.id
    if (asker?.models) throw new AppError('FORBIDDEN', 'You may not use any of the models there are')
    throw new AppError('UPSTREAM_UNAVAILABLE', 'No model is available. Set DEFAULT_MODEL or check the provider')
  }

  /** Where a model leads, for this person. @throws AppError NOT_FOUND, FORBIDDEN: see `route`. */
  async resolve(model: string, asker: Asker): Promise<Route> {
    const route = this.routes.get(model) ?? (await this.routeByProviders(model, asker.personalKey))
    if (!route) throw await this.unknown(model, asker)
    if (!isOpenTo(route, asker) || !mayUse(asker, model))
      throw new AppError('FORBIDDEN', `You may not use the model ${shown(model)}`)
    return route
  }

  /** Where each known model leads, whoever may use it: for administrators. What providers do not list is not in it. */
  async all(): Promise<Route[]> {
    const told = await Promise.allSettled(this.providers.map((provider) => this.lists.of(provider)))
    const ids = told.flatMap((list) => (list.status === 'fulfilled' ? list.value.map(({ id }) => id) : []))
    const unrouted = [...new Set(ids)].filter((id) => !this.routes.has(id))
    const listed = await Promise.all(unrouted.map((id) => this.routeByProviders(id)))
    return [...this.routes.values(), ...listed.filter((route) => route !== undefined)]
  }

  /** How it stands with those who may answer. */
  standing({ deployments }: Route): Standing {
    return standingOf(deployments, this.deps)
  }

  /** What a provider's list says of a model, as far as it has told. */
  listed(provider: Provider, model: string): ModelInfo | undefined {
    return this.lists.find(provider, model)
  }

  /** How many models have a route of their own. */
  get routed(): number {
    return this.routes.size
  }

  /** All providers there are, those of the routes with them. */
  everybody(): Provider[] {
    const routed = [...this.routes.values()].flatMap(({ deployments }) => deployments.map(({ provider }) => provider))
    return [...new Set([...this.providers, ...routed])]
  }

  /**
   * What answers for a model. Its answers move on to another deployment when one fails: see `answer` in failover.ts.
   * @throws AppError NOT_FOUND with names that may have been meant; FORBIDDEN when this person may not use it, or when
   *   it takes a key of one's own and they have none.
   */
  async route(model: string, asker: Asker): Promise<ChatModel> {
    const route = await this.resolve(model, asker)
    const arm = route.split && armOf(route, asker.userId)
    const payable = payableBy(asker, armed(route, arm?.deployments))
    return {
      stream: (request, signal) => {
        const plan: Plan = {
          deployments: inOrder(payable, route.strategy, this.deps),
          variant: arm?.name,
          hedgeAfterMs: route.hedgeAfterMs,
          owner: asker.personalKey ? hashToken(asker.personalKey) : '',
          tenantKeys: asker.providerKeys,
          explain: async (error) =>
            error.code === 'NOT_FOUND' ? withNear(error, await this.near(model, asker)) : error,
        }
        return answer(plan, { request, signal }, this.deps)
      },
    }
  }

  /** Vectors of texts. @throws AppError as `route` does; BAD_REQUEST when nobody with this model makes any. */
  async embed(request: EmbedRequest, asker: Asker, signal: AbortSignal): Promise<EmbeddedBy> {
    const { deployments } = await this.resolve(request.model, asker)
    return embed(payableBy(asker, deployments), { request, tenantKeys: asker.providerKeys }, signal)
  }

  /** Up to three names that may have been meant by a name that is none. */
  async near(model: string, asker?: Asker): Promise<string[]> {
    const models = await this.list(asker).catch(() => [])
    return nearNames(
      model,
      models.map(({ id }) => id).filter((id) => id !== model),
    )
  }

  /** How to see, per provider, whether it answers: what `/health` does. */
  checks(): { name: string; check: () => Promise<{ degraded: string } | undefined> }[] {
    return this.everybody().map((provider) => ({
      name: provider.name,
      check: async () => {
        await (provider.ping?.(AbortSignal.timeout(WAIT)) ?? this.lists.refresh(provider))
        const open = this.open().get(provider.name) ?? 0
        return open > 0 ? { degraded: `${open} deployment(s) left alone after failures` } : undefined
      },
    }))
  }

  /** How many deployments are left alone after failures, by provider. */
  open(): Map<string, number> {
    return this.deps.breakers.open()
  }

  /** All providers that list a model, else those that may have models they do not list. */
  private async routeByProviders(model: string, personalKey?: string | null): Promise<Route | undefined> {
    const [only, ...others] = this.providers
    if (only && others.length === 0 && !only.listsAll) return this.routeOf(model, this.providers)
    const known = this.providers.filter((provider) => this.lists.has(provider, model, personalKey))
    if (known.length > 0) return this.routeOf(model, known)
    await Promise.allSettled(this.providers.map((provider) => this.lists.of(provider, personalKey)))
    const listing = this.providers.filter((provider) => this.lists.has(provider, model, personalKey))
    return this.routeOf(model, listing.length > 0 ? listing : this.providers.filter(({ listsAll }) => !listsAll))
  }

  private routeOf(model: string, providers: Provider[]): Route | undefined {
    const [first, ...others] = providers.map((provider) => this.own.of(provider, model))
    return first && { model, strategy: 'ordered', deployments: [first, ...others] }
  }

  /** The error for a name that is none, with those that may have been meant. */
  async unknown(model: string, asker: Asker): Promise<AppError> {
    const error = new AppError('NOT_FOUND', `There is no model ${shown(model)}. GET /v1/models lists what there is`)
    return withNear(error, await this.near(model, asker))
  }
}

/** Lists tell nothing but names: these are of models that make vectors, pictures or sound, or judge. */
const NO_CHAT = /embed|rerank|moderation|whisper|transcribe|tts|dall-e|image|sora/i

const byProvider: FailoverDeps['rate'] = ({ provider }, { usage }) => {
  const costNanos = provider.cost(usage)
  return costNanos === null ? null : { costNanos, parts: {}, version: provider.name }
}

/** Names come from callers, and end up in messages. */
const shown = (model: string): string => model.slice(0, 100)

const armed = ({ deployments }: Route, ids: string[] | undefined): Deployment[] =>
  ids ? deployments.filter(({ id }) => ids.includes(id)) : deployments

/** Anybody may use what has no list; otherwise whoever is on it, or whose tenant is. */
function isOpenTo(route: Route | undefined, asker: Asker | undefined): boolean {
  const { tenants, users } = route?.allow ?? {}
  if (!tenants && !users) return true
  if (!asker) return false
  return Boolean(tenants?.includes(asker.tenantId) || users?.includes(asker.userId))
}

/** Whether a list of models, where there is one, has this one in it. */
const mayUse = (asker: Asker | undefined, model: string): boolean => asker?.models?.includes(model) ?? true

function withNear(error: AppError, near: string[]): AppError {
  if (near.length === 0) return error
  const { code, fault, cause } = error
  const message = `${error.message.replace(/[.?]?$/, '.')} Did you mean ${near.join(' or ')}?`
  return new AppError(code, message, { fault, cause, details: { near } })
}
