import { Elysia } from 'elysia'
import { describe } from '../../plugins/docs'
import type { Health } from './service'

const tag = 'Operations'

export interface Info {
  name: string
  version: string
  environment: string
  store: string
  runtime: string
}

/** What probes and load balancers ask. Public, and it says nothing that strangers should not know. */
export const health = (health: Health, info: Info) =>
  new Elysia({ name: 'health' })
    .get(
      '/health',
      async ({ status }) => {
        const report = await health.report()
        const body = {
          ...report,
          version: info.version,
          uptime_s: Math.round(process.uptime()),
        }
        return report.status === 'failed' ? status(503, body) : body
      },
      {
        detail: describe({
          summary: 'Is everything well?',
          description:
            'Each dependency with its latency. `degraded`: something optional is away, or a model at a provider is left alone after failures. `redis`: how each thing that Redis is for is done now: `redis`, or `local`, by each server for itself. 503 and `failed`: something needed is.',
          tag,
          open: true,
          example: {
            status: 'ok',
            checks: {
              database: { status: 'ok', latency_ms: 0.4 },
              'llm:demo': { status: 'ok', latency_ms: 0.1 },
            },
            redis: { cache: 'redis' },
            version: info.version,
            uptime_s: 42,
          },
        }),
      },
    )
    .get(
      '/ready',
      async ({ status }) =>
        (await health.ready())
          ? { status: 'ready' }
          : status(503, { status: health.draining ? 'draining' : 'not ready' }),
      {
        detail: describe({
          summary: 'May traffic come here?',
          description:
            '503 while a needed dependency is away (`not ready`) and, from the first moment on, while the server drains before a stop (`draining`). How much there is to do has no say.',
          tag,
          open: true,
          example: { status: 'ready' },
        }),
      },
    )
    .get('/live', () => ({ status: 'alive' }), {
      detail: describe({
        summary: 'Does the process run?',
        description: 'Depends on nothing else.',
        tag,
        open: true,
        example: { status: 'alive' },
      }),
    })
    .get('/info', () => info, {
      detail: describe({
        summary: 'What is this?',
        tag,
        open: true,
        example: info,
      }),
    })
