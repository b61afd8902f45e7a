import { LRUCache } from 'lru-cache'
import type { Provider } from './port'
import type { Deployment } from './routes'

/** Models of one provider that are remembered. */
const KEEP = 1000

/** What is asked of providers without a route. Each is the same object again, so that its latency is remembered. */
export class OwnDeployments {
  private readonly byProvider = new WeakMap<Provider, LRUCache<string, Deployment>>()

  of(provider: Provider, model: string): Deployment {
    const known = this.byProvider.get(provider) ?? new LRUCache<string, Deployment>({ max: KEEP })
    this.byProvider.set(provider, known)
    const prefill = provider.prefills?.(model) ?? false
    const deployment = known.get(model) ?? { id: provider.name, provider, model, weight: 1, prefill }
    known.set(model, deployment)
    return deployment
  }
}
