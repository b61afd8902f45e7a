import { toAppError } from '../errors'
import type { ChatEvent, Provider } from './port'

/** Whoever wants to know how a provider is doing. */
export interface StreamObserver {
  streamBegan(): void
  /** The first piece of an answer came, so many milliseconds after asking. */
  streamSpoke(provider: string, ms: number): void
  /** `completed`, `aborted`, or an error code. */
  streamEnded(provider: string, outcome: string): void
}

/** A provider that is watched. */
export const metered = (provider: Provider, observer: StreamObserver): Provider => ({
  ...provider,
  stream: (request, signal) =>
    watched(provider.stream(request, signal), {
      name: provider.name,
      signal,
      observer,
    }),
})

async function* watched(
  events: AsyncIterable<ChatEvent>,
  { name, signal, observer }: { name: string; signal: AbortSignal; observer: StreamObserver },
): AsyncGenerator<ChatEvent> {
  const asked = performance.now()
  let spoke = false
  // A consumer that leaves early ends this generator at a `yield`: neither completed nor failed.
  let outcome: string = 'aborted'
  observer.streamBegan()
  try {
    for await (const event of events) {
      if (!spoke && (typeof event === 'string' || event.type === 'delta')) {
        spoke = true
        observer.streamSpoke(name, performance.now() - asked)
      }
      yield event
    }
    outcome = 'completed'
  } catch (error) {
    if (!signal.aborted) outcome = toAppError(error).code
    throw error
  } finally {
    observer.streamEnded(name, outcome)
  }
}
