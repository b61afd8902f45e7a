import type { ChatEvent, ChoiceDelta, ServedBy, UsageEvent } from '../../llm/port'
import type { Rater } from '../../llm/rater'
import type { Deployment } from '../../llm/routes'
import type { Asked } from './admission'
import type { Allowance } from './allowance'
import type { Held } from './amounts'
import { chargeOf } from './bill'

/** Why a choice ended. */
export type Finish = { type: 'finish'; index: number; reason: string }

export interface CountDeps {
  asked: Asked
  held: Held
  allowance: Allowance | undefined
  rater: Pick<Rater, 'tally' | 'estimated' | 'added' | 'sums' | 'saved' | 'rate' | 'count'>
}

/** What one answer has said and used so far. */
export class Count {
  served: Deployment | undefined
  firstTokenMs: number | null = null
  /** Somebody is asked, and has not said yet what it took. */
  asking = true
  /** What is known to have been used. */
  spent: UsageEvent | undefined
  /** About how many tokens were given out, as a fraction. */
  said = 0
  /** Pictures or sound were given out: only their provider can say what they took. */
  uncounted = false
  private finishes: Finish[] = []
  /** What was said since then. */
  private readonly tally
  /** What was said and what tools answered before that: a model that is asked again reads it. */
  private earlier = ''
  /** Where in that the part begins that is being said, and the tokens that parts before it were counted to have. */
  private step = 0
  private countedBefore = 0
  private readonly choices = new Set<number>()
  private readonly begun = performance.now()

  constructor(private readonly deps: CountDeps) {
    this.tally = deps.rater.tally()
  }

  /** Milliseconds since it was begun. */
  get ms(): number {
    return Math.round(performance.now() - this.begun)
  }

  /** Who speaks, or is most likely to be asked. */
  get speaker(): Deployment {
    return this.served ?? this.deps.asked.deployments[0]
  }

  /** An event of the model. @returns whether there may be no money left. */
  hear(event: ChatEvent): boolean {
    if (typeof event === 'string' || event.type === 'delta') {
      this.firstTokenMs ??= this.ms
      const asksAgain = typeof event === 'object' && this.note(event)
      const tokens = this.tally.add(event)
      this.said += tokens
      // Before somebody is asked again, not when they have been.
      return (asksAgain && this.askedAgain()) || (this.deps.allowance?.spend(tokens) ?? false)
    }
    switch (event.type) {
      case 'served':
        return this.onServed(event)
      case 'usage':
        this.onUsage(event)
        break
      case 'finish':
        this.finishes.push(event)
        break
      case 'restart':
        this.onRestart()
    }
    return false
  }

  /** How the choices ended, one after the other; `budget` where the money made them short. */
  endings(): Finish[] {
    const short = (reason: string) => this.deps.held.clipped && reason === 'length'
    return this.finishes.map((end) => (short(end.reason) ? { ...end, reason: 'budget' } : end))
  }

  /** How they end when there is no money left: what was said stays. */
  cut(): Finish[] {
    const indexes = this.choices.size > 0 ? [...this.choices].sort((a, b) => a - b) : [0]
    return indexes.map((index) => ({ type: 'finish', index, reason: 'budget' }))
  }

  /**
   * What it took, where need be counted here.
   * @param failed whoever failed before the first word is not paid.
   */
  async taken(failed: boolean): Promise<UsageEvent | undefined> {
    if (this.tally.empty && (failed || !this.asking)) return this.spent
    if (!this.asking) return this.beyond(this.spent)
    const { messages, params } = this.deps.held.request
    const more = this.earlier ? [{ role: 'assistant', content: this.earlier }] : []
    const counted = { request: { messages: [...messages, ...more], params }, delivered: this.tally.delivered() }
    return this.deps.rater.added(this.spent, await this.deps.rater.estimated(counted, this.speaker))
  }

  /** Some say what they took, and then go on: all that they said may be more. Whoever counted and ended has said all. */
  private async beyond(spent: UsageEvent | undefined): Promise<UsageEvent | undefined> {
    const { rater } = this.deps
    const counted = spent ? rater.sums(spent).completion - this.countedBefore : 0
    if (counted > 0 && this.finishes.length > 0) return spent
    const { said, thought } = this.tally.delivered()
    const all = this.earlier.slice(this.step) + said + thought
    const tokens = (await rater.count(all, this.speaker.model)) - counted
    if (tokens <= 0) return spent
    const usage = { prompt_tokens: 0, completion_tokens: tokens, total_tokens: tokens }
    const { costNanos = null, parts: costParts } = rater.rate(this.speaker, { usage }) ?? {}
    return rater.added(spent, { type: 'usage', usage, costNanos, costParts, costBasis: 'estimated' })
  }

  /** @returns whether the model is to read what tools answered. */
  private note({ index, delta }: ChoiceDelta): boolean {
    this.choices.add(index)
    this.uncounted ||= delta.images !== undefined || delta.audio !== undefined
    if (!Array.isArray(delta.tool_results)) return false
    this.earlier += JSON.stringify(delta.tool_results)
    return true
  }

  /** @returns whether there may be no money left. */
  private askedAgain(): boolean {
    const { allowance, held, rater } = this.deps
    const tokens = held.terms.promptTokens + this.earlier.length / 4
    return allowance?.next(chargeOf(held, this.spent, rater), tokens) ?? false
  }

  private onServed({ provider, model }: ServedBy): boolean {
    const { deployments } = this.deps.asked
    this.served = deployments.find((by) => by.provider.name === provider && by.model === model) ?? this.served
    const again = !this.asking
    this.asking = true
    if (this.tally.empty) this.step = this.earlier.length
    if (again && this.spent) this.countedBefore = this.deps.rater.sums(this.spent).completion
    return again && this.askedAgain()
  }

  /** The sum so far, and the end of a part of the answer. */
  private onUsage(event: UsageEvent): void {
    const { said, thought } = this.tally.delivered()
    this.earlier += said + thought
    this.tally.reset()
    this.spent = event
    this.asking = false
  }

  /** What earlier parts said is said again. */
  private onRestart(): void {
    this.earlier = ''
    this.said = 0
    this.step = 0
    this.finishes = []
    this.tally.reset()
    this.deps.allowance?.restart()
  }
}
