import { Elysia } from 'elysia'
import type { AppError } from '../errors'

export interface ShedOptions {
  /** Whether this process has more to do than is urgent. */
  busy: () => boolean
  /** What whoever is refused is told. */
  refusal: () => AppError
  onShed: () => void
  /** Operations that can wait, as `POST /v1/export`. */
  background: readonly string[]
}

/** Refuses what can wait while there is too much to do. Probes, reading, stopping and signing in are never refused. */
export function shed({ busy, refusal, onShed, background }: ShedOptions) {
  const canWait = new Set(background)
  return new Elysia({ name: 'shed' }).onTransform({ as: 'global' }, function refuseWhatCanWait({ request, route }) {
    if (!busy() || !canWait.has(`${request.method} ${route}`)) return
    onShed()
    throw refusal()
  })
}
