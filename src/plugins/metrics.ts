import { Elysia } from 'elysia'
import { AggregatorRegistry, Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import { AppError } from '../errors'
import type { CallLine } from '../lib/json-client'
import { describe } from './docs'

/** Everything that is counted. Names follow the system this one replaces, so that its dashboards go on working. */
export class Metrics {
  readonly registry = new Registry()
  private openBreakers: () => Map<string, number> = () => new Map()
  private openSockets = () => 0
  private load = () => ({ taken: 0, waiting: 0 })
  /** What the other processes on this port have counted. */
  private others: (() => Promise<object[][]>) | undefined
  private readonly requests = this.register(
    new Counter({
      name: 'http_requests_total',
      help: 'Requests by method, route template and status',
      labelNames: ['method', 'endpoint', 'status'],
      registers: [],
    }),
  )
  private readonly durations = this.register(
    new Histogram({
      name: 'http_request_duration_seconds',
      help: 'Time until the response (of a stream: its headers) was ready',
      labelNames: ['method', 'endpoint'],
      buckets: [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
      registers: [],
    }),
  )
  private readonly activeStreams = this.register(
    new Gauge({
      name: 'active_streams_gauge',
      help: 'Answers being made',
      registers: [],
    }),
  )
  private readonly sockets = this.register(
    new Gauge({
      name: 'ws_connections_gauge',
      help: 'WebSockets that are open',
      registers: [],
    }),
  )
  private readonly streams = this.register(
    new Counter({
      name: 'streaming_requests_total',
      help: 'Answers by the provider that was asked last and how they ended: completed, aborted, or an error code',
      labelNames: ['provider', 'outcome'],
      registers: [],
    }),
  )
  private readonly firstToken = this.register(
    new Histogram({
      name: 'time_to_first_token_seconds',
      help: 'From asking the provider to its first piece of answer',
      labelNames: ['provider'],
      buckets: [0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120],
      registers: [],
    }),
  )

  private readonly attempts = this.register(
    new Counter({
      name: 'llm_attempts_total',
      help: 'Requests to providers and how they ended: completed, aborted, or an error code. An answer may take several',
      labelNames: ['provider', 'outcome'],
      registers: [],
    }),
  )
  private readonly failovers = this.register(
    new Counter({
      name: 'llm_failovers_total',
      help: 'Answers that went on with another deployment, before or after the first piece',
      labelNames: ['from', 'to', 'when'],
      registers: [],
    }),
  )
  private readonly costs = this.register(
    new Counter({
      name: 'llm_costs_compared_total',
      help: 'Answers whose cost the provider reported, and whether it is within 1 % of the cost by our prices',
      labelNames: ['provider', 'agrees'],
      registers: [],
    }),
  )
  private readonly breakers = this.register(
    new Gauge({
      name: 'llm_breaker_open',
      help: 'Models left alone after failures, by provider',
      labelNames: ['provider'],
      registers: [],
    }),
  )
  private readonly settlements = this.register(
    new Gauge({
      name: 'llm_settlements_waiting',
      help: 'Charges that could not be written to the database yet; they are on disk',
      registers: [],
    }),
  )
  private readonly limited = this.register(
    new Counter({
      name: 'rate_limited_total',
      help: 'Requests refused with 429, by the limit that was reached',
      labelNames: ['limit'],
      registers: [],
    }),
  )
  private readonly refused = this.register(
    new Counter({
      name: 'llm_reservations_refused_total',
      help: 'Answers that were not begun because they could not be paid for: balance, budget, unpriced',
      labelNames: ['reason'],
      registers: [],
    }),
  )
  private readonly waiting = this.register(
    new Gauge({
      name: 'answers_waiting_gauge',
      help: 'Answers on disk that could not be saved yet',
      registers: [],
    }),
  )
  private readonly webhooks = this.register(
    new Counter({
      name: 'webhook_deliveries_total',
      help: 'Tries to tell the webhook receiver of an event, by its type and how they ended: delivered, failed, dropped',
      labelNames: ['type', 'outcome'],
      registers: [],
    }),
  )
  private readonly outbox = this.register(
    new Gauge({
      name: 'outbox_waiting',
      help: 'Events that wait to be told, on all servers together',
      aggregator: 'max',
      registers: [],
    }),
  )
  private readonly places = this.register(
    new Gauge({
      name: 'answers_in_work',
      help: 'Answers that have one of the MAX_CONCURRENT_ANSWERS places',
      registers: [],
    }),
  )
  private readonly queue = this.register(
    new Gauge({
      name: 'answers_queued',
      help: 'Requests that wait for such a place',
      registers: [],
    }),
  )
  private readonly sheds = this.register(
    new Counter({
      name: 'requests_shed_total',
      help: 'Requests refused because there was too much to do, by what they were: background, metered, paid',
      labelNames: ['standing'],
      registers: [],
    }),
  )
  private readonly upstreamCalls = this.register(
    new Histogram({
      name: 'upstream_call_duration_seconds',
      help: 'Calls to services that keep data for this server, by group of endpoints and how they ended',
      labelNames: ['service', 'group', 'outcome'],
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
      registers: [],
    }),
  )

  private readonly cacheRequests = this.register(
    new Counter({
      name: 'cache_requests_total',
      help: 'Looks into the cache by use and how they ended: hit, stale, miss, away (it did not serve), foreign (it was somebody else’s)',
      labelNames: ['use', 'outcome'],
      registers: [],
    }),
  )

  constructor() {
    collectDefaultMetrics({ register: this.registry })
  }

  request({ method, route, status, ms }: { method: string; route: string; status: number; ms: number }): void {
    this.requests.inc({ method, endpoint: route, status })
    this.durations.observe({ method, endpoint: route }, ms / 1000)
  }

  answersWaiting(count: number): void {
    this.waiting.set(count)
  }

  cacheAsked(use: string, outcome: string): void {
    this.cacheRequests.inc({ use, outcome })
  }

  webhookTried(type: string, outcome: string): void {
    this.webhooks.inc({ type, outcome })
  }

  outboxWaiting(count: number): void {
    this.outbox.set(count)
  }

  settlementsWaiting(count: number): void {
    this.settlements.set(count)
  }

  rateLimited(limit: string): void {
    this.limited.inc({ limit })
  }

  reservationRefused(reason: string): void {
    this.refused.inc({ reason })
  }

  upstreamCall({ service, group, outcome, ms }: Omit<CallLine, 'method' | 'request_id'>): void {
    this.upstreamCalls.observe({ service, group, outcome }, ms / 1000)
  }

  streamBegan(): void {
    this.activeStreams.inc()
  }

  streamSpoke(provider: string, ms: number): void {
    this.firstToken.observe({ provider }, ms / 1000)
  }

  streamEnded(provider: string, outcome: string): void {
    this.activeStreams.dec()
    this.streams.inc({ provider, outcome })
  }

  attempted(provider: string, outcome: string): void {
    this.attempts.inc({ provider, outcome })
  }

  failedOver(from: string, to: string, when: 'before' | 'after'): void {
    this.failovers.inc({ from, to, when })
  }

  costCompared(provider: string, differs: boolean): void {
    this.costs.inc({ provider, agrees: String(!differs) })
  }

  /** @param open how many are open now, by provider; asked when the metrics are. */
  watchBreakers(open: () => Map<string, number>): void {
    this.openBreakers = open
  }

  shed(standing: string): void {
    this.sheds.inc({ standing })
  }

  /** @param load how many answers are in work, and wait for that; asked when the metrics are. */
  watchLoad(load: () => { taken: number; waiting: number }): void {
    this.load = load
  }

  /** @param open how many connections are open now; asked when the metrics are. */
  watchSockets(open: () => number): void {
    this.openSockets = open
  }

  /** @param others what the other processes on this port have counted; asked when the metrics are. */
  addUpWith(others: () => Promise<object[][]>): void {
    this.others = others
  }

  /** In Prometheus's text format; of all processes on this port together. */
  async text(): Promise<string> {
    if (!this.others) return this.look().metrics()
    const [own, others] = await Promise.all([this.counted(), this.others()])
    return AggregatorRegistry.aggregate([own, ...others]).metrics()
  }

  /** What this process has counted, to be added up. */
  counted(): Promise<object[]> {
    return this.look().getMetricsAsJSON()
  }

  private look(): Registry {
    for (const [provider, count] of this.openBreakers()) this.breakers.set({ provider }, count)
    const { taken, waiting } = this.load()
    this.sockets.set(this.openSockets())
    this.places.set(taken)
    this.queue.set(waiting)
    return this.registry
  }

  private register<T extends Counter | Gauge | Histogram>(metric: T): T {
    this.registry.registerMetric(metric)
    return metric
  }
}

/** `/metrics` for Prometheus; with a token, only for those who have it. */
export const metrics = (metrics: Metrics, { token }: { token: string | undefined }) =>
  new Elysia({ name: 'metrics' }).get(
    '/metrics',
    async ({ headers }) => {
      if (token && headers.authorization !== `Bearer ${token}`) {
        throw new AppError('UNAUTHORIZED', 'Send METRICS_TOKEN as a bearer token')
      }
      const text = await metrics.text()
      return new Response(text, {
        headers: { 'content-type': metrics.registry.contentType },
      })
    },
    {
      detail: describe({
        summary: 'Metrics in the Prometheus text format',
        tag: 'Operations',
        contentType: 'text/plain',
        example: 'http_requests_total{method="GET",endpoint="/health",status="200"} 1\n',
        open: true,
        errors: token ? ['UNAUTHORIZED'] : [],
      }),
    },
  )
