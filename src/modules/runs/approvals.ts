import { AppError } from '../../errors'
import { type ToolCall, takenApart } from '../../lib/steps'
import type { Decision } from '../../llm/tool-answer'
import type { Run, Store, User } from '../../store/port'
import type { Answer, Chat, TurnOptions } from '../chat/service'
import type { Approvals as Body } from './model'
import type { Runs } from './service'

/** Lets people decide about calls of tools that wait for them. */
export class Approvals {
  constructor(
    private readonly store: Pick<Store, 'conversations'>,
    private readonly runs: Runs,
    private readonly chat: Chat,
  ) {}

  /**
   * The calls of an answer that wait for a decision. There is always one.
   * @throws AppError NOT_FOUND for a run of somebody else; CONFLICT when it waits for nothing; NOT_SUPPORTED when this
   *   server has no tools any more.
   */
  async waiting(user: User, runId: string): Promise<Waiting> {
    const run = await this.runs.find(user, runId)
    if (run.status === 'running') throw new AppError('CONFLICT', 'This answer is still being written')
    const message = run.messageId && (await this.store.conversations.findMessage(user, run.messageId))
    const calls = message ? waitingIn(takenApart(message.content, message.extra), message.extra) : []
    if (!message || calls.length === 0) throw new AppError('CONFLICT', 'This answer waits for no decision')
    if (!this.chat.hasTools) throw new AppError('NOT_SUPPORTED', 'This server has no tools. Set MCP_FILE')
    return { run, messageId: message.id, calls }
  }

  /**
   * Goes on below the answer: calls what was allowed, and has the model read the results.
   * @throws AppError VALIDATION_ERROR when not every call is decided once; CONFLICT when that happened before, with the
   *   `run_id` of what was made then.
   */
  async decide(user: User, { run, messageId, calls }: Waiting, { body, options }: Decided): Promise<Answer> {
    const { decisions, ...rest } = body
    const answer = await this.chat.at(
      user,
      {
        place: { kind: 'existing', id: run.conversationId, parentId: messageId },
        sent: [],
        decisions: matched(calls, decisions),
        body: { ...rest, model: rest.model ?? run.model },
        whole: { approvals: run.id },
      },
      // A blank is in no key of a client's. Whoever comes second finds what the first one made.
      { ...options, idempotencyKey: `approvals ${run.id}` },
    )
    if (!answer.replayed) return answer
    await answer.events.return?.()
    throw new AppError('CONFLICT', 'This was decided before. GET /v1/runs/{run_id}/stream has the answer', {
      details: { run_id: answer.run.id },
    })
  }
}

export interface Waiting {
  run: Run
  messageId: string
  calls: ToolCall[]
}

interface Decided {
  body: Body
  options: TurnOptions
}

function waitingIn(
  { steps, extra }: ReturnType<typeof takenApart>,
  stored: Record<string, unknown> | null,
): ToolCall[] {
  const asked = Array.isArray(stored?.approval_required) ? stored.approval_required : []
  const ids = new Set(asked.map(({ tool_call_id }) => tool_call_id))
  const open = Array.isArray(extra.tool_calls) ? (extra.tool_calls as ToolCall[]) : []
  return [...(steps.at(-1)?.tool_calls ?? []), ...open].filter(({ id }) => ids.has(id))
}

function matched(calls: ToolCall[], decisions: Body['decisions']): Decision[] {
  const wrong = (message: string) =>
    new AppError('VALIDATION_ERROR', `decisions: ${message}`, { details: { waiting: calls.map(({ id }) => id) } })
  if (decisions.length !== calls.length) throw wrong('must have one decision for each call that waits')
  return calls.map((call) => {
    const decision = decisions.find(({ tool_call_id }) => tool_call_id === call.id)
    if (!decision) throw wrong(`none is about ${call.id}`)
    return { call, approve: decision.approve, reason: decision.reason ?? undefined }
  })
}
