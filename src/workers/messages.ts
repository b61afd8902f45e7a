/** What workers and their supervisor tell each other. */

/** In a worker's environment: which of them it is, from 1. */
export const WORKER = 'ORCHESTRATOR_WORKER'

export type FromWorker =
  /** It serves requests. */
  | { kind: 'ready' }
  /** It wants to know what the others have counted. */
  | { kind: 'ask'; id: number }
  /** What it has counted, as it was asked. */
  | { kind: 'told'; id: number; metrics: object[] }

export type ToWorker =
  /** Somebody wants to know what it has counted. */
  | { kind: 'tell'; id: number }
  /** What the others have counted; those that did not say in time are left out. */
  | { kind: 'answer'; id: number; metrics: object[][] }
