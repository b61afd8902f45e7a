import type { ChatEvent, ChatRequest, Provider } from '../../src/llm/port'
import type { Deployment } from '../../src/llm/routes'

/** What a scripted provider does with one request: says these things, throws an error among them, or falls silent. */
export type Script = (ChatEvent | Error | 'silence')[]

export const STOP: ChatEvent = { type: 'finish', index: 0, reason: 'stop' }

/** A provider that plays one script for each request; the last one again and again. */
export class Scripted implements Provider {
  readonly listsAll = false
  personalKeys = false
  requests: ChatRequest[] = []
  /** Requests that were given up by the one who asked. */
  aborted = 0
  lists: string[] = []
  listing: Error | undefined
  listed = 0

  constructor(
    readonly name: string,
    private readonly scripts: Script[] = [[STOP]],
  ) {}

  cost = () => 7n

  async models() {
    this.listed++
    if (this.listing) throw this.listing
    return this.lists.map((id) => ({ id, ownedBy: this.name, created: 0 }))
  }

  async *stream(request: ChatRequest, signal: AbortSignal): AsyncGenerator<ChatEvent> {
    const script = this.scripts[Math.min(this.requests.length, this.scripts.length - 1)] ?? []
    this.requests.push(request)
    for (const step of script) {
      if (step === 'silence') await this.silence(signal)
      else if (step instanceof Error) throw step
      else yield step
    }
  }

  private silence(signal: AbortSignal): Promise<never> {
    return new Promise((_, reject) => {
      const leave = () => {
        this.aborted++
        reject(signal.reason)
      }
      if (signal.aborted) leave()
      else signal.addEventListener('abort', leave, { once: true })
    })
  }
}

export const deploymentOf = (provider: Provider, changes: Partial<Deployment> = {}): Deployment => ({
  id: provider.name,
  provider,
  model: `${provider.name}-model`,
  weight: 1,
  prefill: false,
  ...changes,
})
