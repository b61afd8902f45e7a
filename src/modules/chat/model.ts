import { Kind } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { t } from 'elysia'
import { AppError } from '../../errors'
import { validationError } from '../../lib/problems'
import { Id, NativeChat, sampling } from '../shapes'

export { completionExample, NativeChat, streamExample } from '../shapes'

const Message = t.Object(
  {
    role: t.Union([
      t.Literal('system'),
      t.Literal('developer'),
      t.Literal('user'),
      t.Literal('assistant'),
      t.Literal('tool'),
      t.Literal('function'),
    ]),
    content: t.Optional(t.Union([t.String(), t.Array(t.Object({}, { additionalProperties: true })), t.Null()])),
  },
  { additionalProperties: true },
)

/** The OpenAI Chat Completions API. Stateless, unless it names a conversation. */
export const OpenAiChat = t.Object(
  {
    messages: t.Array(Message, { minItems: 1, maxItems: 10_000 }),
    conversation_id: t.Optional(
      t.Nullable(Id('Keep this exchange in a stored conversation (also `X-Conversation-Id`)')),
    ),
    stream_options: t.Optional(
      t.Nullable(t.Object({ include_usage: t.Optional(t.Boolean()) }, { additionalProperties: true })),
    ),
    ...sampling,
  },
  {
    additionalProperties: true,
    description:
      'The OpenAI Chat Completions API. Does not stream unless `stream` is true. Tools, images, `response_format`, `seed`, `stop`, `n` and all else are passed on as they are.',
    examples: [{ model: 'demo/eliza', messages: [{ role: 'user', content: 'Hello!' }] }],
  },
)
export type OpenAiChat = typeof OpenAiChat.static

/**
 * Either of the two. Documented as a choice but checked by `parseChat`: a union can only say "expected union value",
 * and whoever forgot one field wants to know which.
 */
export const ChatBody = t.Unsafe<NativeChat | OpenAiChat>({
  [Kind]: 'Any',
  anyOf: [NativeChat, OpenAiChat],
})

const native = TypeCompiler.Compile(NativeChat)
const openAi = TypeCompiler.Compile(OpenAiChat)

export type ParsedChat =
  | { kind: 'native'; body: NativeChat }
  | { kind: 'bound'; body: OpenAiChat; conversationId: string }
  | { kind: 'stateless'; body: OpenAiChat }

/** Which of our three chats a request is. @throws AppError VALIDATION_ERROR naming the fields. */
export function parseChat(body: unknown, headers: Record<string, string | undefined>): ParsedChat {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new AppError('VALIDATION_ERROR', 'Send a JSON object with `message` (our API) or `messages` (the OpenAI API)')
  }
  if (isOpenAi(body)) {
    const conversationId = ('conversation_id' in body && body.conversation_id) || headers['x-conversation-id']
    const named = conversationId ? { ...body, conversation_id: conversationId } : body
    if (!openAi.Check(named)) throw validationError('body', openAi.Errors(named))
    return typeof named.conversation_id === 'string'
      ? { kind: 'bound', body: named, conversationId: named.conversation_id }
      : { kind: 'stateless', body: named }
  }
  if (!native.Check(body)) throw validationError('body', native.Errors(body))
  return { kind: 'native', body }
}

/** Whether a body speaks the OpenAI API; also decides the shape of its errors. */
export const isOpenAi = (body: unknown): boolean =>
  typeof body === 'object' && body !== null && 'messages' in body && !('message' in body)

export const Regenerate = t.Object(
  {
    conversation_id: Id('The conversation'),
    message_id: Id('The answer to make again, or the user message to answer again'),
    branch_name: t.Optional(t.Nullable(t.String({ minLength: 1, maxLength: 100, pattern: '\\S' }))),
    ...sampling,
  },
  {
    additionalProperties: true,
    examples: [
      {
        conversation_id: '0199c0de-0000-7000-8000-000000000001',
        message_id: '0199c0de-0000-7000-8000-000000000003',
        stream: true,
      },
    ],
  },
)
export type Regenerate = typeof Regenerate.static
