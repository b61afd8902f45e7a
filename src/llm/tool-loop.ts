import type { ToolBox, ToolLimits } from '../tools/port'
import type { ChatEvent, ChatModel } from './port'
import { type Asked, ToolAnswer, type ToolUse } from './tool-answer'

/**
 * Gives models the tools of this server: offers them, makes the calls, and asks again with the results, until the model
 * has said all or the limit of steps is reached. Calls and results are part of the stream. What waits for a person, and
 * calls of the client's own tools, end the answer with `tool_calls`.
 */
export class ToolLoop {
  constructor(
    private readonly box: ToolBox,
    private readonly limits: ToolLimits,
  ) {}

  /** A model that uses the tools. */
  around(answerer: ChatModel, use: ToolUse): ChatModel {
    return { stream: (request, signal) => this.stream(answerer, use, { request, signal }) }
  }

  private async *stream(answerer: ChatModel, use: ToolUse, asked: Asked): AsyncGenerator<ChatEvent> {
    const { box, limits } = this
    const { params } = asked.request
    const declared = namesOf(params.tools)
    const fits = ({ approve, definition }: Awaited<ReturnType<ToolBox['list']>>[number]) =>
      (use.approvals || !approve) && !declared.has(definition.function.name)
    // Of several choices, which would be the one to go on with?
    const tools = Number(params.n ?? 1) > 1 ? [] : (await box.list(use.owner)).filter(fits)
    if (tools.length === 0 && !use.decisions?.length) yield* answerer.stream(asked.request, asked.signal)
    else yield* new ToolAnswer({ ...use, ...asked, answerer, tools, declared }, box, limits).make()
  }
}

/** Names of the tools in a Chat Completions request. */
function namesOf(tools: unknown): Set<string> {
  const list: { function?: { name?: unknown } | undefined }[] = Array.isArray(tools) ? tools : []
  return new Set(list.map((tool) => tool?.function?.name).filter((name) => typeof name === 'string'))
}
