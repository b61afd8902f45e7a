import { AppError } from '../../errors'
import { estimateRequest } from '../../lib/token-estimate'
import type { Catalog } from '../../llm/catalog'
import type { ModelFacts } from '../../llm/facts'
import type { ChatEvent, ChatMessage } from '../../llm/port'
import type { Asker, Router } from '../../llm/router'
import type { Route } from '../../llm/routes'
import type { Asked, Params } from './request'

/** What is done with a conversation that is too long for its model. */
export type ContextPolicy = 'trim' | 'refuse'

export type Limits = Pick<ModelFacts, 'contextWindow' | 'maxOutputTokens'>

export interface Fitted {
  messages: ChatMessage[]
  /** How many of the oldest messages were left out. */
  trimmed: number
}

/** The same, and who may be asked. */
export interface FittedTo extends Fitted, Pick<Route, 'deployments'> {}

/** Tokens kept free for an answer whose length the caller does not limit; at most this share of the window. */
const ANSWER = 1024
const SHARE = 8

export interface FittingDeps {
  models: Pick<Router, 'resolve'>
  catalog: Pick<Catalog, 'ready' | 'facts'>
  contextPolicy: ContextPolicy
}

/** Makes what is asked fit the model: as the deployment that is asked first has its limits, where they are known. */
export class Fitting {
  constructor(private readonly deps: FittingDeps) {}

  /**
   * @throws AppError VALIDATION_ERROR when a longer answer is asked for than the model can give, PAYLOAD_TOO_LARGE when
   *   the messages do not fit and cannot be trimmed, or are not to be; NOT_FOUND, FORBIDDEN: see `Router.resolve`.
   */
  async fit(asker: Asker, { model, messages, body }: Asked): Promise<FittedTo> {
    const { models, catalog, contextPolicy } = this.deps
    const { deployments } = await models.resolve(model, asker)
    const [first] = deployments
    await catalog.ready(first.provider)
    return { ...fitTo({ messages, body }, { limits: catalog.facts(first), policy: contextPolicy }), deployments }
  }
}

/** The same without a router. @throws AppError VALIDATION_ERROR, PAYLOAD_TOO_LARGE */
export function fitTo(
  { messages, body }: { messages: ChatMessage[]; body: Params },
  { limits, policy }: { limits: Limits; policy: ContextPolicy },
): Fitted {
  const answer = answerLimit(body, limits)
  const { contextWindow } = limits
  if (!contextWindow) return { messages, trimmed: 0 }
  const fixed = estimateRequest({ messages: [], tools: body.tools })
  const sizes = messages.map((message) => estimateRequest({ messages: [message] }))
  const estimated = sizes.reduce((sum, size) => sum + size, fixed)
  const free = answer ?? Math.min(ANSWER, Math.floor(contextWindow / SHARE))
  const excess = estimated + free - contextWindow
  const trims = policy === 'trim' && excess > 0
  const trimmed = trims ? trim(messages, { sizes, excess }) : { messages, size: 0 }
  const left = estimated - trimmed.size
  if (left + (answer ?? 0) > contextWindow) throw tooLong({ contextWindow, estimated: left, answer })
  return { messages: trimmed.messages, trimmed: messages.length - trimmed.messages.length }
}

/** Leaves out the oldest exchanges, each whole: instructions stay, and what is said last, and no result lacks its call. */
function trim(messages: ChatMessage[], { sizes, excess }: { sizes: number[]; excess: number }) {
  const last = messages.findLastIndex(({ role }) => role === 'user')
  let size = 0
  let cut = 0
  for (let i = 0, open = 0; i <= last && size < excess; i++) {
    if (i > 0 && messages[i]?.role === 'user') {
      size += open
      open = 0
      cut = i
    }
    if (!isInstruction(messages[i])) open += sizes[i] ?? 0
  }
  return { messages: messages.filter((message, i) => i >= cut || isInstruction(message)), size }
}

const isInstruction = (message: ChatMessage | undefined): boolean =>
  message?.role === 'system' || message?.role === 'developer'

/** Tokens the answer may have, when the caller says. @throws AppError when the model cannot give so many. */
function answerLimit(body: Params, { maxOutputTokens }: Limits): number | undefined {
  const name = body.max_completion_tokens == null ? 'max_tokens' : 'max_completion_tokens'
  const wanted = body[name]
  if (typeof wanted !== 'number') return undefined
  if (!maxOutputTokens || wanted <= maxOutputTokens) return wanted
  const message = `must be at most ${maxOutputTokens} for this model, not ${wanted}`
  throw new AppError('VALIDATION_ERROR', `${name}: ${message}`, {
    details: { in: 'body', fields: [{ path: name, message }], max_output_tokens: maxOutputTokens },
  })
}

function tooLong({
  contextWindow,
  estimated,
  answer = 0,
}: {
  contextWindow: number
  estimated: number
  answer?: number | undefined
}) {
  const forAnswer = answer > 0 ? ` and ${answer} for the answer` : ''
  return new AppError(
    'PAYLOAD_TOO_LARGE',
    `The messages are too long for this model: about ${estimated} tokens${forAnswer}, and it takes ${contextWindow}`,
    {
      details: {
        reason: 'context_length_exceeded',
        context_window: contextWindow,
        estimated_tokens: estimated,
        max_tokens: answer || null,
      },
    },
  )
}

/** What the answer's first frame says beside its ids. */
export const trimmedFields = ({ trimmed }: Fitted): Record<string, unknown> | undefined =>
  trimmed > 0 ? { trimmed_messages: trimmed } : undefined

/** The same events, with facts of ours among those of the answer as a whole. */
export async function* withFacts(
  events: AsyncIterable<ChatEvent>,
  fields: Record<string, unknown>,
): AsyncGenerator<ChatEvent> {
  yield { type: 'meta', fields }
  for await (const event of events) {
    const isMeta = typeof event === 'object' && event.type === 'meta'
    yield isMeta ? { ...event, fields: { ...event.fields, ...fields } } : event
  }
}
