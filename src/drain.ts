import type { Config } from './config'
import type { Log } from './log'
import type { Services } from './wire'

/** Milliseconds that ending takes in all, and saving at the end of it, where the operator's time is short. */
const LEAST = 6000
const LEAST_REST = 4000
/** The share of a longer time that is for saving, and how much of it at most. */
const REST_SHARE = 0.25
const MOST_REST = 10_000
/** Milliseconds that readers have to take their last frames. */
const LAST_FRAMES = 1000

export interface Draining {
  config: Pick<Config, 'server'>
  services: Pick<Services, 'health' | 'runs' | 'places' | 'sockets' | 'close'>
  /** Closes the door. With `true`, also on who is still inside. */
  stop: (now?: boolean) => Promise<unknown>
  log: Pick<Log, 'info' | 'warn'>
}

/** Milliseconds that a drain takes at most: what the operator gave, or what is needed at least. */
export const drainLimit = ({ server }: Pick<Config, 'server'>): number => Math.max(LEAST, server.drainTimeout * 1000)

/**
 * Readiness first, so that load balancers look elsewhere; then no new answers, while those there are may finish; then those
 * that do not are ended and saved as far as they got; then the door is closed, then what is behind it. Never throws, and never
 * takes longer than the limit, whatever hangs: a database that is away finds its answers again in checkpoints and journals.
 */
export async function drain({ config, services, stop, log }: Draining): Promise<void> {
  const { runs, places, sockets, health } = services
  const limit = drainLimit(config)
  const end = performance.now() + limit
  const rest = Math.min(MOST_REST, Math.max(limit * REST_SHARE, LEAST_REST))
  const left = (spare = 0) => Math.max(0, end - spare - performance.now())
  const step = async (what: string, ms: number, work: Promise<unknown>) => {
    const done = work.then(() => true).catch((err) => log.warn({ err }, `${what} failed`))
    const late = Bun.sleep(ms).then(() => 'late')
    if ((await Promise.race([done, late])) === 'late')
      log.warn({ after_ms: Math.round(ms) }, `${what} took too long, and is left`)
  }

  health.draining = true
  await Bun.sleep(Math.min(config.server.drainDelay * 1000, left(rest)))
  const grace = Math.min(config.server.drainTimeout * 1000, left(rest))
  // Readers of answers that are ended get a moment for the last frames.
  const answers = Promise.all([runs.close(grace), places.close(grace), sockets.close(grace + rest / 2)])
  await step('ending the answers', grace + rest * 0.7, answers)
  await step('letting readers go', Math.min(LAST_FRAMES, left() / 2), stop())
  await step('closing the door', Math.min(LAST_FRAMES, left() / 2), stop(true))
  await step('closing', left(), services.close(left() / 2))
}
