import type { RunEvent } from './port'

/** Whether this is the last event of a run. */
export const isTerminal = (event: RunEvent | undefined): boolean =>
  typeof event === 'object' && (event.type === 'done' || event.type === 'error')
