/** What clients of every surface make of an answer, as strict as the protocols allow. */
import { type Frame, readSse } from './read-sse'

/** What a client has in the end. */
export interface Ended {
  text: string
  /** How it was told of a failure, in its protocol's words; undefined when the answer is complete. */
  error?: string | undefined
  /** Why the answer ended, in its protocol's words. */
  reason?: string | undefined
  /** Tokens of the answer; undefined when it was told none. */
  tokens?: number | undefined
  conversationId?: string | undefined
}

const framesOf = (body: string) => readSse(new Response(body))

/** Exactly one of the two, once. */
function oneEnd(ends: { complete: number; failed: number }): void {
  if (ends.complete + ends.failed !== 1) {
    throw new Error(`it is told ${ends.complete} times that all is complete, ${ends.failed} times that it failed`)
  }
}

const field = (value: unknown, ...path: string[]): unknown =>
  path.reduce<unknown>(
    (at, key) => (typeof at === 'object' && at ? (at as Record<string, unknown>)[key] : undefined),
    value,
  )
const numberOf = (value: unknown) => (typeof value === 'number' ? value : undefined)
const textOf = (value: unknown) => (typeof value === 'string' ? value : undefined)

/** Joins pieces; what comes before a restart does not count. */
function joined<T>(items: T[], isRestart: (item: T) => boolean, piece: (item: T) => unknown): string {
  return items
    .slice(items.findLastIndex(isRestart) + 1)
    .map((item) => textOf(piece(item)) ?? '')
    .join('')
}

const contentOf = ({ data }: Frame) => data.choices?.[0]?.delta?.content
const finishOf = (frames: Frame[]) =>
  frames.flatMap(({ data }) => data.choices?.flatMap((choice) => choice.finish_reason ?? []) ?? [])

export async function readNative(_: number, body: string): Promise<Ended> {
  const { frames, done } = await framesOf(body)
  const failed = frames.filter(({ data }) => data.error)
  const reasons = finishOf(frames)
  oneEnd({ complete: reasons.length, failed: failed.length })
  if (!done) throw new Error('its stream has no end')
  return {
    text: joined(frames, ({ event }) => event === 'restart', contentOf),
    error: failed[0] && textOf(failed[0].data.error?.code),
    reason: reasons[0],
    tokens: numberOf(field(frames.at(-1)?.data, 'usage', 'completion_tokens')),
    conversationId: textOf(frames[0]?.data.conversation_id),
  }
}

const openAiWord = (status: number, body: unknown) => `${status} ${field(body, 'error', 'type')}`

export async function readOpenAi(status: number, body: string): Promise<Ended> {
  if (status !== 200) return { text: '', error: openAiWord(status, JSON.parse(body)) }
  const { frames, done } = await framesOf(body)
  const failed = frames.filter(({ data }) => data.error)
  const reasons = finishOf(frames)
  oneEnd({ complete: reasons.length, failed: failed.length })
  if (done === failed.length > 0) throw new Error('its stream has a wrong end')
  return {
    text: joined(frames, ({ data }) => data.restart === true, contentOf),
    error: failed[0] && openAiWord(status, failed[0].data),
    reason: reasons[0],
    tokens: numberOf(field(frames.at(-1)?.data, 'usage', 'completion_tokens')),
  }
}

export async function readCompletion(status: number, body: string): Promise<Ended> {
  const answer = JSON.parse(body)
  if (status !== 200) return { text: '', error: openAiWord(status, answer) }
  const choice = field(answer, 'choices', '0')
  return {
    text: textOf(field(choice, 'message', 'content')) ?? '',
    reason: textOf(field(choice, 'finish_reason')),
    tokens: numberOf(field(answer, 'usage', 'completion_tokens')),
  }
}

const EVENTS = {
  opened: 'content_block_start',
  closed: 'content_block_stop',
  piece: 'content_block_delta',
}

export async function readAnthropic(status: number, body: string): Promise<Ended> {
  const word = (data: unknown) => `${status} ${field(data, 'error', 'type')}`
  if (status !== 200) return { text: '', error: word(JSON.parse(body)) }
  const { frames } = await framesOf(body)
  const of = (name: string) => frames.filter(({ event }) => event === name)
  const [failed, complete] = [of('error'), of('message_stop')]
  oneEnd({ complete: complete.length, failed: failed.length })
  if (of('message_start').length !== 1) throw new Error('its message begins more than once')
  const open = of(EVENTS.opened).length - of(EVENTS.closed).length
  if (complete.length === 1 && open !== 0) throw new Error('its blocks have no end')
  const last = of('message_delta')[0]?.data
  return {
    text: of(EVENTS.piece)
      .map(({ data }) => field(data, 'delta', 'text') ?? '')
      .join(''),
    error: failed[0] && word(failed[0].data),
    reason: textOf(field(last, 'delta', 'stop_reason')),
    // The protocol has no word for a number that is not known.
    tokens: numberOf(field(last, 'usage', 'output_tokens')) || undefined,
  }
}

export async function readUi(_: number, body: string): Promise<Ended> {
  const { frames, done } = await framesOf(body)
  const chunks = frames.map(({ data }) => data)
  const of = (type: string) => chunks.filter((chunk) => chunk.type === type)
  oneEnd({ complete: of('finish').length, failed: of('error').length })
  if (!done) throw new Error('its stream has no end')
  return {
    text: joined(
      chunks,
      ({ type }) => type === 'data-restart',
      (chunk) => (chunk.type === 'text-delta' ? chunk.delta : ''),
    ),
    error: textOf(field(of('data-error')[0], 'data', 'code')),
    reason: textOf(field(of('data-usage')[0], 'data', 'finish_reason')),
    tokens: numberOf(field(of('data-usage')[0], 'data', 'usage', 'completion_tokens')),
    conversationId: textOf(field(of('data-ids')[0], 'data', 'conversation_id')),
  }
}

/** The Responses API: an answer is over by one event, and what it then holds is what was said piece by piece. */
export async function readResponses(status: number, body: string): Promise<Ended> {
  if (status !== 200) return { text: '', error: openAiWord(status, JSON.parse(body)) }
  const events = (await framesOf(body)).frames.map(({ data }) => data)
  const of = (type: string) => events.filter((event) => event.type === `response.${type}`)
  const failed = of('failed')
  const complete = [...of('completed'), ...of('incomplete')]
  oneEnd({ complete: complete.length, failed: failed.length })
  if (of('created').length !== 1) throw new Error('its response begins more than once')
  const text = of('output_text.delta')
    .map(({ delta }) => textOf(delta) ?? '')
    .join('')
  const response = complete[0]?.response
  const said = field(response, 'output', '0', 'content', '0', 'text')
  if (response && said !== text) throw new Error(`its text is "${text}", and its response holds "${said}"`)
  return {
    text,
    error: failed[0] && `${status} ${field(failed[0].response, 'error', 'code')}`,
    reason: textOf(field(response, 'incomplete_details', 'reason')) ?? textOf(field(response, 'status')),
    tokens: numberOf(field(response, 'usage', 'output_tokens')),
    conversationId: textOf(field(of('created')[0]?.response, 'conversation', 'id')),
  }
}
