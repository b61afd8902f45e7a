import { t } from 'elysia'

const Block = t.Object({ type: t.String({ maxLength: 100 }) }, { additionalProperties: true })
const Content = t.Union([t.String(), t.Array(Block)])

const Message = t.Object(
  { role: t.Union([t.Literal('user'), t.Literal('assistant'), t.Literal('system')]), content: Content },
  { additionalProperties: true },
)

const asked = {
  model: t.Optional(t.String({ minLength: 1, maxLength: 200, description: 'One of `GET /v1/models`' })),
  messages: t.Array(Message, { minItems: 1, maxItems: 10_000 }),
  system: t.Optional(Content),
  tools: t.Optional(t.Array(t.Object({ name: t.Optional(t.String()) }, { additionalProperties: true }))),
  tool_choice: t.Optional(Block),
  thinking: t.Optional(Block),
  output_config: t.Optional(t.Object({}, { additionalProperties: true })),
}

const messages = [{ role: 'user' as const, content: 'Hello!' }]

/** The Anthropic Messages API. Stateless, unless it names a conversation. */
export const MessagesBody = t.Object(
  {
    ...asked,
    max_tokens: t.Optional(t.Integer({ minimum: 1, description: 'Tokens the answer may have' })),
    stream: t.Optional(t.Boolean()),
    temperature: t.Optional(t.Number({ minimum: 0, maximum: 1 })),
    top_p: t.Optional(t.Number({ minimum: 0, maximum: 1 })),
    top_k: t.Optional(t.Integer({ minimum: 0 })),
    stop_sequences: t.Optional(t.Array(t.String(), { maxItems: 100 })),
    metadata: t.Optional(
      t.Object(
        {
          user_id: t.Optional(t.Nullable(t.String({ maxLength: 500 }))),
          conversation_id: t.Optional(
            t.String({
              format: 'uuid',
              description: 'Keep this exchange in a stored conversation (also `X-Conversation-Id`)',
            }),
          ),
        },
        { additionalProperties: true },
      ),
    ),
  },
  {
    additionalProperties: true,
    description: "The Anthropic Messages API. Keys that are neither Anthropic's nor ours are left out.",
    examples: [{ model: 'demo/eliza', max_tokens: 256, messages }],
  },
)
export type MessagesBody = typeof MessagesBody.static

export const MessagesHeaders = t.Object(
  {
    'x-conversation-id': t.Optional(t.String({ format: 'uuid' })),
    'idempotency-key': t.Optional(t.String({ pattern: '^[\\x21-\\x7e]{1,255}$' })),
  },
  { additionalProperties: true },
)

export const CountBody = t.Object(asked, {
  additionalProperties: true,
  examples: [{ model: 'demo/eliza', messages }],
})

const id = 'msg_0199c0de-0000-7000-8000-000000000004'
const message = {
  id,
  type: 'message',
  role: 'assistant',
  model: 'demo/eliza',
  content: [{ type: 'text', text: 'Hello there.' }],
  stop_reason: 'end_turn',
  stop_sequence: null,
  usage: { input_tokens: 4, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, output_tokens: 2 },
}
export const messageExample = message

export const countExample = { input_tokens: 9 }

const frame = (type: string, fields: object) => `event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`

export const messageStreamExample = [
  ': open\n\n',
  frame('message_start', { message: { ...message, content: [], stop_reason: null } }),
  frame('ping', {}),
  frame('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }),
  frame('content_block_delta', { index: 0, delta: { type: 'text_delta', text: 'Hello there.' } }),
  frame('content_block_stop', { index: 0 }),
  frame('message_delta', { delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: message.usage }),
  frame('message_stop', {}),
].join('')
