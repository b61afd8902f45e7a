import { Elysia } from 'elysia'
import { newId } from '../lib/ids'
import type { Metrics } from './metrics'

export interface RequestLogOptions {
  metrics: Metrics
  /** One line per request, when it is answered (a stream: when it begins). */
  onDone: (line: { method: string; route: string; status: number; ms: number; request_id: string }) => void
}

/** What a client may call its request: enough for trace ids of any kind, nothing that could break a log. */
const REQUEST_ID = /^[\w.:/+=-]{1,128}$/

/** Gives every request an id (the client's, if it sent a decent one) and says in log and metrics how it went. */
export const requestLog = ({ metrics, onDone }: RequestLogOptions) => {
  const begun = new WeakMap<Request, number>()
  return new Elysia({ name: 'request-log' })
    .onRequest(function requestId({ request, set }) {
      begun.set(request, performance.now())
      const given = request.headers.get('x-request-id')
      set.headers['x-request-id'] = given && REQUEST_ID.test(given) ? given : newId()
    })
    .onAfterResponse({ as: 'global' }, function requestDone({ request, route, set, response }) {
      const ms = performance.now() - (begun.get(request) ?? performance.now())
      const status = response instanceof Response ? response.status : Number(set.status ?? 200)
      // The template, never the path: ids would make a metric of their own each.
      const line = {
        method: request.method,
        route: route || 'none',
        status,
        ms: Math.round(ms * 100) / 100,
      }
      metrics.request(line)
      onDone({ ...line, request_id: String(set.headers['x-request-id']) })
    })
}
