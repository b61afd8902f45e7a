import type { ModelFacts } from './facts'
import type { Provider } from './port'

/** How a route chooses who is asked first. The others come after, when that one fails. */
export type Strategy = 'ordered' | 'weighted' | 'least-busy' | 'fastest'

/** One model at one provider, with one key: what can be asked, and what can fail. */
export interface Deployment {
  /** Unique in its route. */
  id: string
  provider: Provider
  /** The provider's own word for the model. */
  model: string
  /** Share of the requests, for `weighted` and `least-busy`. */
  weight: number
  /** It goes on from an assistant message at the end of the conversation. */
  prefill: boolean
  /** What whoever runs this server says of it: goes before all that others say. */
  facts?: ModelFacts | undefined
}

/** One arm of an A/B test: the people who fall into it are served by these deployments. */
export interface Arm {
  name: string
  weight: number
  deployments: string[]
}

/** What a public model name leads to. */
export interface Route {
  /** The name that clients use. */
  model: string
  strategy: Strategy
  /** Never empty; in order of preference. */
  deployments: [Deployment, ...Deployment[]]
  /** Milliseconds of silence after which the next deployment is asked, too. Off when absent. */
  hedgeAfterMs?: number | undefined
  /** Who may use it: anybody when both are absent. */
  allow?: { tenants?: string[] | undefined; users?: string[] | undefined } | undefined
  split?: Arm[] | undefined
}
