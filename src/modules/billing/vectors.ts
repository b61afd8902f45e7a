import { AppError } from '../../errors'
import type { EmbeddedBy } from '../../llm/embeddings'
import type { ChatRequest, UsageEvent } from '../../llm/port'
import type { Rater } from '../../llm/rater'
import type { Asked } from './admission'
import type { Ending } from './bill'

interface VectorsDeps {
  asked: Asked
  /** What they are made of, in the words of a chat. */
  request: ChatRequest
  rater: Pick<Rater, 'rate' | 'estimated'>
  now: () => Date
}

/** What vectors of texts took. */
export class Vectors {
  private readonly begun = performance.now()

  constructor(private readonly deps: VectorsDeps) {}

  async made({ usage: { prompt_tokens, total_tokens }, by }: EmbeddedBy): Promise<Ending> {
    if (prompt_tokens === 0) return this.ending({ status: 'completed', usage: await this.counted(), served: by })
    const usage = { prompt_tokens, completion_tokens: 0, total_tokens }
    const rated = this.deps.rater.rate(by, { usage })
    const { costNanos = null, parts: costParts, version: priceVersion } = rated ?? {}
    const event: UsageEvent = { type: 'usage', usage, costNanos, costParts, priceVersion }
    return this.ending({ status: 'completed', usage: event, served: by })
  }

  /** Who leaves pays: the texts were read. A provider that failed is not paid. */
  async failed(error: unknown): Promise<Ending> {
    if (error instanceof AppError) return this.ending({ status: 'failed', usage: undefined, served: undefined })
    return this.ending({ status: 'stopped', usage: await this.counted(), served: this.deps.asked.deployments[0] })
  }

  private counted(): Promise<UsageEvent> {
    const { asked, request, rater } = this.deps
    return rater.estimated({ request, delivered: { said: '', thought: '' } }, asked.deployments[0])
  }

  private ending(ended: Pick<Ending, 'status' | 'usage' | 'served'>): Ending {
    const latencyMs = Math.round(performance.now() - this.begun)
    return { ...ended, finishReason: null, firstTokenMs: null, latencyMs, at: this.deps.now() }
  }
}
