import { type FromWorker, type ToWorker, WORKER } from './messages'

/** What ties a worker to its supervisor. */
export interface Link {
  /** Which worker this is, from 1. */
  place: number
  send: (message: FromWorker) => void
  onMessage: (hear: (message: ToWorker) => void) => void
  /** The supervisor has ended, or was killed. */
  onGone: (gone: () => void) => void
}

/** @returns undefined in a process that no supervisor has started. */
export function linkOf(env: Record<string, string | undefined>): Link | undefined {
  const place = Number(env[WORKER])
  if (!place || !process.send) return undefined
  return {
    place,
    // One that is gone hears nothing, and that is told elsewhere.
    send: (message) => void (process.connected && process.send?.(message)),
    onMessage: (hear) => void process.on('message', hear),
    onGone: (gone) => void process.once('disconnect', gone),
  }
}
