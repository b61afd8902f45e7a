import { Accumulator } from '../lib/accumulate'
import { argumentsOf, type Step, stepDeltas, stepMessages, type ToolCall, type ToolOutcome } from '../lib/steps'
import type { Tool, ToolBox, ToolLimits, ToolOwner, ToolResult } from '../tools/port'
import type { ChatEvent, ChatModel, ChatRequest, ChoiceDelta, UsageEvent } from './port'
import { CallNumbers, cut, inTurn } from './tool-calls'
import { addedEvents } from './usage'

/** What a person said about a call that waited for them. */
export interface Decision {
  call: ToolCall
  approve: boolean
  /** For the model, why not. */
  reason?: string | undefined
}

export interface ToolUse {
  owner: ToolOwner
  /** Whether the answer can wait for a person's approval. If not, tools that need it are not offered. */
  approvals: boolean
  /** About calls of the answer before, which this one goes on with. */
  decisions?: Decision[] | undefined
}

export interface Asked {
  request: ChatRequest
  signal: AbortSignal
}

interface Options extends ToolUse, Asked {
  answerer: ChatModel
  tools: Tool[]
  /** Names of the client's own tools. */
  declared: Set<string>
}

/** What the model said to one request. */
interface Reply {
  whole: Accumulator
  finish: string
  usage: UsageEvent | undefined
}

/** One answer with calls of tools in it. */
export class ToolAnswer {
  private readonly tools: Map<string, Tool>
  private readonly steps: Step[] = []
  private readonly numbers: CallNumbers
  private spent: UsageEvent | undefined

  constructor(
    private readonly options: Options,
    private readonly box: ToolBox,
    private readonly limits: ToolLimits,
  ) {
    this.tools = new Map(options.tools.map((tool) => [tool.definition.function.name, tool]))
    this.numbers = new CallNumbers(idsIn(options.request))
  }

  async *make(): AsyncGenerator<ChatEvent> {
    const { decisions = [] } = this.options
    if (decisions.length > 0) {
      const results = await inTurn(decisions, (decision) => this.decided(decision))
      yield this.ended({ content: '', tool_calls: [], tool_results: results })
    }
    for (let asked = 1; ; asked++) {
      const reply = yield* this.ask(asked)
      // Also what an answer cost that is stopped while a tool is called.
      if (reply.usage) yield this.total(reply.usage)
      const reason = yield* this.act(reply, asked)
      if (reason === undefined) continue
      yield { type: 'finish', index: 0, reason }
      return
    }
  }

  /** Asks the model, and passes on what it says, without the end. */
  private async *ask(asked: number): AsyncGenerator<ChatEvent, Reply> {
    const { answerer, signal } = this.options
    let reply = newReply()
    this.numbers.nextStep()
    for await (const event of answerer.stream(this.request(asked), signal)) {
      if (typeof event === 'string' || event.type === 'delta') yield this.heard(event, reply.whole)
      else if (event.type === 'finish') reply.finish = event.reason
      else if (event.type === 'usage') reply.usage = event
      else yield event
      if (typeof event === 'string' || event.type !== 'restart') continue
      // For the reader all is void, but only this step begins anew.
      reply = newReply()
      this.numbers.reset()
      for (const delta of stepDeltas(this.steps)) yield { type: 'delta', index: 0, delta }
      if (this.spent) yield this.spent
    }
    return reply
  }

  /** Makes the calls of a reply. @returns why the answer ends; undefined when the model is to be asked again. */
  private async *act({ whole, finish }: Reply, asked: number): AsyncGenerator<ChatEvent, string | undefined> {
    const step = stepOf(whole)
    // Cut short: the last call may be half of one.
    if (step.tool_calls.length === 0 || finish === 'length' || finish === 'content_filter') return finish
    const { theirs, waiting, ours } = this.sorted(step.tool_calls)
    const isOver = asked >= this.limits.steps
    if (ours.length > 0) {
      step.tool_results = await inTurn(ours, (call) => (isOver ? tooMany(call) : this.call(call)))
      yield this.ended(step)
    }
    if (waiting.length > 0) yield { type: 'delta', index: 0, delta: { approval_required: waiting.map(toApprove) } }
    if (theirs.length > 0 || waiting.length > 0) return 'tool_calls'
    return isOver ? 'length' : undefined
  }

  /** Who is to make these calls: the client, this server once somebody agrees, or this server now. */
  private sorted(calls: ToolCall[]) {
    const { declared } = this.options
    const theirs = calls.filter((call) => declared.has(call.function.name))
    const mine = calls.filter((call) => !theirs.includes(call))
    const waiting = mine.filter((call) => this.tools.get(call.function.name)?.approve && argumentsOf(call))
    return { theirs, waiting, ours: mine.filter((call) => !waiting.includes(call)) }
  }

  private async decided({ call, approve, reason }: Decision): Promise<ToolOutcome> {
    if (approve) return this.call(call)
    return outcome(call, failure(`The user did not allow this call.${reason ? ` They say: ${reason}` : ''}`))
  }

  private async call(call: ToolCall): Promise<ToolOutcome> {
    const tool = this.tools.get(call.function.name)
    const args = argumentsOf(call)
    if (!tool) return outcome(call, failure('There is no such tool.'))
    if (!args) return outcome(call, failure('The arguments are not a JSON object.'))
    const { content, isError } = await this.limited(tool, args)
    return outcome(call, { content: cut(content, this.limits.resultBytes), isError })
  }

  private async limited({ definition, timeoutMs }: Tool, args: Record<string, unknown>): Promise<ToolResult> {
    const { owner, signal } = this.options
    const late = AbortSignal.timeout(timeoutMs)
    const over = AbortSignal.any([signal, late])
    const ended = Promise.withResolvers<never>()
    over.addEventListener('abort', () => ended.reject(over.reason), { once: true })
    try {
      over.throwIfAborted()
      const called = { name: definition.function.name, arguments: args }
      return await Promise.race([this.box.call(owner, called, over), ended.promise])
    } catch (error) {
      signal.throwIfAborted()
      if (late.aborted) return failure(`The tool did not answer within ${timeoutMs / 1000} s.`)
      throw error
    }
  }

  private heard(event: string | ChoiceDelta, whole: Accumulator): ChatEvent {
    if (typeof event === 'string' || event.index !== 0 || !Array.isArray(event.delta.tool_calls)) {
      whole.add(event)
      return event
    }
    const tool_calls = this.numbers.number(event.delta.tool_calls)
    whole.add({ ...event, delta: { ...event.delta, tool_calls } })
    return { ...event, delta: { ...event.delta, tool_calls: this.numbers.through(tool_calls) } }
  }

  private ended(step: Step): ChoiceDelta {
    this.steps.push(step)
    return { type: 'delta', index: 0, delta: { tool_results: step.tool_results } }
  }

  /** The sum so far: whoever reads counts takes the last ones. */
  private total(event: UsageEvent): UsageEvent {
    this.spent = this.spent ? addedEvents(this.spent, event) : { ...event, costNanos: event.costNanos ?? null }
    return this.spent
  }

  private request(asked: number): ChatRequest {
    const { request } = this.options
    const own: unknown[] = Array.isArray(request.params.tools) ? request.params.tools : []
    const tools = [...own, ...[...this.tools.values()].map(({ definition }) => definition)]
    const { tool_choice, ...params } = request.params
    const choice = this.choice(tool_choice, asked)
    return {
      ...request,
      messages: [...request.messages, ...stepMessages(this.steps)],
      params: {
        ...params,
        ...(tools.length > 0 ? { tools } : {}),
        ...(choice === undefined ? {} : { tool_choice: choice }),
      },
    }
  }

  /** A call that the client forces would be forced again in every step, without end; the last step is for words. */
  private choice(given: unknown, asked: number): unknown {
    if (asked >= this.limits.steps && this.tools.size > 0) return 'none'
    const isFree = given === undefined || given === 'auto' || given === 'none'
    return isFree || (asked === 1 && this.steps.length === 0) ? given : undefined
  }
}

const newReply = (): Reply => ({ whole: new Accumulator(), finish: 'stop', usage: undefined })

function stepOf(whole: Accumulator): Step {
  const { content, tool_calls = [], reasoning_content, reasoning_details } = whole.choices()[0]?.message ?? {}
  return {
    content: typeof content === 'string' ? content : '',
    tool_calls: tool_calls as ToolCall[],
    tool_results: [],
    ...(typeof reasoning_content === 'string' ? { reasoning_content } : {}),
    ...(Array.isArray(reasoning_details) ? { reasoning_details } : {}),
  }
}

const failure = (content: string): ToolResult => ({ content, isError: true })

const outcome = ({ id, function: { name } }: ToolCall, { content, isError }: ToolResult): ToolOutcome => ({
  tool_call_id: id,
  name,
  content,
  is_error: isError,
})

const tooMany = async (call: ToolCall) =>
  outcome(call, failure('Not called: the limit of steps for one answer is reached.'))

/** What a person is asked to agree to. */
const toApprove = (call: ToolCall) => ({
  tool_call_id: call.id,
  name: call.function.name,
  arguments: argumentsOf(call) ?? {},
})

/** Ids that calls of the conversation have already. */
const idsIn = ({ messages }: ChatRequest): Set<string> =>
  new Set(
    messages
      .flatMap(({ tool_calls }) => (Array.isArray(tool_calls) ? (tool_calls as ToolCall[]) : []))
      .map(({ id }) => id),
  )
