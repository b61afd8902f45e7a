/** Encodes a fake reply as OpenAI stream frames or as one completion object. */
import { type ChatBody, type Delta, type Reply, type ToolCallDelta, textOf } from './fake-replies'

export function encodeFrames(reply: Reply, body: ChatBody): string[] {
  const base = {
    id: newId(),
    object: 'chat.completion.chunk',
    created: seconds(),
    model: body.model,
  }
  const asked = body.stream_options?.include_usage === true
  const frame = (choices: unknown[], usage: unknown = null) =>
    `data: ${JSON.stringify({ ...base, choices, ...(asked ? { usage } : {}) })}\n\n`
  const choice = (index: number, delta: unknown, finish: string | null = null) =>
    frame([{ index, delta, logprobs: null, finish_reason: finish }])

  const indexes = Array.from({ length: reply.choices }, (_, index) => index)
  const frames = indexes.map((index) => choice(index, { role: 'assistant', content: '' }))
  for (const { choice: index, delta } of reply.deltas) frames.push(choice(index, delta))
  const { finish } = reply
  if (finish !== undefined) for (const index of indexes) frames.push(choice(index, {}, finish))
  if (asked && reply.usage) frames.push(frame([], usageOf(reply, body)))
  if (reply.done) frames.push('data: [DONE]\n\n')
  return frames
}

export function encodeCompletion(reply: Reply, body: ChatBody): string {
  const choices = Array.from({ length: reply.choices }, (_, index) => ({
    index,
    message: merge(reply.deltas.filter((row) => row.choice === index).map((row) => row.delta)),
    logprobs: null,
    finish_reason: reply.finish ?? null,
  }))
  return JSON.stringify({
    id: newId(),
    object: 'chat.completion',
    created: seconds(),
    model: body.model,
    choices,
    ...(reply.usage ? { usage: usageOf(reply, body) } : {}),
  })
}

/** What a client gets by adding the deltas up. */
function merge(deltas: Delta[]): Record<string, unknown> {
  const message: Record<string, unknown> = { role: 'assistant', content: null }
  const calls: ToolCallDelta[] = []
  for (const { tool_calls, ...texts } of deltas) {
    for (const [field, text] of Object.entries(texts)) message[field] = `${message[field] ?? ''}${text}`
    for (const { index, ...call } of tool_calls ?? []) {
      const known = calls[index]
      if (known) known.function.arguments += call.function.arguments
      else calls[index] = structuredClone({ index, ...call })
    }
  }
  if (calls.length > 0) message.tool_calls = calls.map(({ index: _, ...call }) => call)
  return message
}

function usageOf(reply: Reply, body: ChatBody) {
  const prompt = body.messages.reduce((sum, message) => sum + textOf(message).split(/\s+/).filter(Boolean).length, 0)
  const completion = reply.deltas.length
  const reasoning = reply.deltas.filter((row) => row.delta.content === undefined && !row.delta.tool_calls).length
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: 0 },
    completion_tokens_details: { reasoning_tokens: reasoning },
  }
}

const newId = (): string => `chatcmpl-${crypto.randomUUID()}`
const seconds = (): number => Math.floor(Date.now() / 1000)
