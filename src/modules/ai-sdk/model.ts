import { t } from 'elysia'
import type { UiLevel } from '../../dialects/ai-sdk'

const visible = (max: number, description: string) => {
  const range = `1 to ${max} visible ASCII characters`
  const pattern = `^[\\x21-\\x7e]{1,${max}}$`
  return t.String({ pattern, 'x-must': `must be ${range}`, description: `${description}: ${range}` })
}
const chatId = (description: string) => visible(200, description)

export const ChatId = t.Object({ id: chatId('The chat, as the page calls it') })

const level = t.Union([t.Literal('5'), t.Literal('6'), t.Literal('7')], {
  description: 'The release of the AI SDK that reads the stream; 5 unless said, which all of them read',
})

export const Level = { 'ui-stream': t.Optional(level) }
export const LevelQuery = t.Object(Level)
export const SendHeaders = t.Object(
  { ...Level, 'idempotency-key': t.Optional(visible(255, 'Sent again with the same body, it gets the same answer')) },
  { additionalProperties: true },
)
export const ResumeHeaders = t.Object(
  {
    ...Level,
    'last-event-id': t.Optional(
      t.String({
        pattern: '^\\d{0,9}$',
        'x-must': 'must be the number of an event',
        description: 'The last event that the client has',
      }),
    ),
  },
  { additionalProperties: true },
)

const UiMessage = t.Object(
  {
    id: t.Optional(t.String({ maxLength: 1000 })),
    role: t.Union([t.Literal('system'), t.Literal('user'), t.Literal('assistant')]),
    parts: t.Array(t.Object({ type: t.String({ maxLength: 200 }) }, { additionalProperties: true }), {
      maxItems: 10_000,
    }),
  },
  { additionalProperties: true, description: 'A `UIMessage` of the AI SDK' },
)

const tool = t.Object({ type: t.Literal('function') }, { additionalProperties: true })
const namedTool = t.Object(
  { description: t.Optional(t.String()), parameters: t.Optional(t.Object({}, { additionalProperties: true })) },
  { additionalProperties: true },
)

export const UiBody = t.Object(
  {
    id: chatId("The chat's id: the page's own, or that of a conversation"),
    messages: t.Optional(
      t.Array(UiMessage, { minItems: 1, maxItems: 10_000, description: 'The history that is shown' }),
    ),
    message: t.Optional(t.Intersect([UiMessage], { description: 'In place of `messages`: only what is new' })),
    trigger: t.Optional(
      t.Union([t.Literal('submit-message'), t.Literal('regenerate-message')], {
        description: '`submit-message` unless said',
      }),
    ),
    messageId: t.Optional(t.Nullable(t.String({ maxLength: 1000, description: 'What is edited or answered again' }))),
    model: t.Optional(t.Nullable(t.String({ minLength: 1, maxLength: 200, description: 'One of `GET /v1/models`' }))),
    system: t.Optional(t.Nullable(t.String({ maxLength: 32_000, description: 'Instructions for this turn' }))),
    temperature: t.Optional(t.Nullable(t.Number({ minimum: 0, maximum: 2 }))),
    max_tokens: t.Optional(t.Nullable(t.Integer({ minimum: 1, description: 'Tokens the answer may have' }))),
    tools: t.Optional(
      t.Nullable(
        t.Union([t.Array(tool, { maxItems: 128 }), t.Record(t.String(), namedTool)], {
          description: 'Tools of the page: a list in the words of OpenAI, or `{ name: { description, parameters } }`',
        }),
      ),
    ),
    tool_choice: t.Optional(t.Nullable(t.Union([t.String(), t.Object({}, { additionalProperties: true })]))),
  },
  {
    additionalProperties: true,
    description: 'What `useChat` sends. Whatever else a page adds to it is ignored.',
    examples: [
      {
        id: '0199c0de-0000-7000-8000-000000000001',
        messages: [{ id: 'msg-1', role: 'user', parts: [{ type: 'text', text: 'Hello' }] }],
        trigger: 'submit-message',
      },
    ],
  },
)

/** The header wins over the query; neither means the strictest. */
export const levelOf = (...said: ({ 'ui-stream'?: string | undefined } | undefined)[]): UiLevel =>
  Number(said.find((place) => place?.['ui-stream'])?.['ui-stream'] ?? 5) as UiLevel

export const stoppedExample = { stopped: true }

const frame = (chunk: object, id?: number) => `${id ? `id: ${id}\n` : ''}data: ${JSON.stringify(chunk)}\n\n`
const ids = {
  conversation_id: '0199c0de-0000-7000-8000-000000000001',
  branch_id: '0199c0de-0000-7000-8000-000000000002',
  message_id: '0199c0de-0000-7000-8000-000000000003',
  run_id: '0199c0de-0000-7000-8000-000000000004',
}
const usage = { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 }

export const uiStreamExample = [
  ': open\n\n',
  frame({ type: 'start', messageId: ids.message_id }),
  frame({ type: 'start-step' }),
  frame({ type: 'data-ids', data: ids, transient: true }, 1),
  frame({ type: 'text-start', id: 'text-1' }),
  frame({ type: 'text-delta', id: 'text-1', delta: 'Hello there.' }, 2),
  frame({ type: 'text-end', id: 'text-1' }),
  frame({ type: 'finish-step' }),
  frame({ type: 'data-usage', data: { usage, cost_usd: 0, finish_reason: 'stop' }, transient: true }),
  frame({ type: 'finish' }, 3),
  'data: [DONE]\n\n',
].join('')
