import { t } from 'elysia'

const Id = t.String({ minLength: 1, maxLength: 200 })

const Item = t.Object({ type: t.Optional(t.String({ maxLength: 100 })) }, { additionalProperties: true })

const some = t.Object({}, { additionalProperties: true })

/** The OpenAI Responses API. */
export const ResponsesBody = t.Object(
  {
    input: t.Union([t.String({ minLength: 1 }), t.Array(Item, { minItems: 1, maxItems: 10_000 })], {
      'x-must': 'must be a text that is not empty or a list of items',
      description: 'A text of the user, or items: messages, calls of functions and their outputs',
    }),
    model: t.Optional(t.Nullable(t.String({ minLength: 1, maxLength: 200, description: 'One of `GET /v1/models`' }))),
    instructions: t.Optional(t.Nullable(t.String({ description: 'A system message for this turn only' }))),
    previous_response_id: t.Optional(t.Nullable(t.String({ maxLength: 200, description: 'Go on below this answer' }))),
    conversation: t.Optional(
      t.Nullable(
        t.Union([Id, t.Object({ id: Id }, { additionalProperties: true })], {
          'x-must': 'must be the id of a conversation, or an object with its id',
          description: 'Go on at the end of the active branch of this conversation',
        }),
      ),
    ),
    store: t.Optional(t.Nullable(t.Boolean({ description: 'Keep it in a conversation; true unless said' }))),
    background: t.Optional(t.Nullable(t.Boolean({ description: 'Answer at once; the response is made meanwhile' }))),
    stream: t.Optional(t.Nullable(t.Boolean())),
    tools: t.Optional(t.Nullable(t.Array(Item, { maxItems: 1000, description: 'Functions' }))),
    tool_choice: t.Optional(t.Nullable(t.Union([t.String({ maxLength: 100 }), some]))),
    parallel_tool_calls: t.Optional(t.Nullable(t.Boolean())),
    text: t.Optional(t.Nullable(t.Object({ format: t.Optional(t.Nullable(Item)) }, { additionalProperties: true }))),
    reasoning: t.Optional(t.Nullable(some)),
    max_output_tokens: t.Optional(t.Nullable(t.Integer({ minimum: 1 }))),
    temperature: t.Optional(t.Nullable(t.Number({ minimum: 0, maximum: 2 }))),
    top_p: t.Optional(t.Nullable(t.Number({ minimum: 0, maximum: 1 }))),
    metadata: t.Optional(
      t.Nullable(
        t.Record(t.String({ maxLength: 64 }), t.String({ maxLength: 512 }), {
          maxProperties: 16,
          description: 'Up to 16 short texts, kept with the response',
        }),
      ),
    ),
    truncation: t.Optional(t.Nullable(t.Union([t.Literal('auto'), t.Literal('disabled')]))),
    user: t.Optional(t.Nullable(t.String({ maxLength: 500 }))),
  },
  {
    additionalProperties: true,
    description:
      'The OpenAI Responses API. Keys that are neither its own nor ours are passed on, as with Chat Completions.',
    examples: [{ model: 'demo/eliza', input: 'Hello!' }],
  },
)
export type ResponsesBody = typeof ResponsesBody.static

export const ResponsesHeaders = t.Object(
  {
    'idempotency-key': t.Optional(
      t.String({ pattern: '^[\\x21-\\x7e]{1,255}$', 'x-must': 'must be 1 to 255 visible ASCII characters' }),
    ),
    'x-stream-restart': t.Optional(t.String({ description: '`allow`: the answer may begin anew in the stream' })),
  },
  { additionalProperties: true },
)

export const ResponseId = t.Object({ id: Id })

export const ResponseQuery = t.Object({
  stream: t.Optional(t.BooleanString({ description: 'The events, those there are and those to come' })),
  starting_after: t.Optional(
    t.Numeric({
      minimum: 0,
      maximum: 1_000_000_000,
      multipleOf: 1,
      description: '`sequence_number` of the last event the client has',
    }),
  ),
})

export const ItemsQuery = t.Object({
  after: t.Optional(t.String({ maxLength: 200, description: 'The last item of the page before' })),
  limit: t.Optional(t.Numeric({ minimum: 1, maximum: 100, multipleOf: 1 })),
  order: t.Optional(t.Union([t.Literal('asc'), t.Literal('desc')])),
})

const id = 'resp_0199c0de000070008000000000000004'
const message = {
  id: 'msg_0199c0de-0000-7000-8000-000000000003',
  type: 'message',
  status: 'completed',
  role: 'assistant',
  content: [{ type: 'output_text', annotations: [], logprobs: [], text: 'Hello there.' }],
}

export const responseExample = {
  id,
  object: 'response',
  created_at: 1_795_255_200,
  status: 'completed',
  error: null,
  incomplete_details: null,
  previous_response_id: null,
  model: 'demo/eliza',
  output: [message],
  usage: {
    input_tokens: 1,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: 2,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: 3,
  },
  conversation: { id: '0199c0de-0000-7000-8000-000000000001' },
  metadata: {},
}

export const deletedExample = { id, object: 'response', deleted: true }

const item = { ...message, role: 'user', content: [{ type: 'input_text', text: 'Hello!' }] }
export const itemsExample = { object: 'list', data: [item], first_id: item.id, last_id: item.id, has_more: false }

const frame = (type: string, fields: object) => `event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`
const at = { item_id: message.id, output_index: 0, content_index: 0 }
const begun = { ...responseExample, status: 'in_progress', output: [], usage: null }
const [part] = message.content

export const responseStreamExample = [
  ': open\n\n',
  frame('response.created', { response: begun, sequence_number: 0 }),
  frame('response.in_progress', { response: begun, sequence_number: 1 }),
  frame('response.output_item.added', {
    output_index: 0,
    item: { ...message, status: 'in_progress', content: [] },
    sequence_number: 2,
  }),
  frame('response.content_part.added', { ...at, part: { ...part, text: '' }, sequence_number: 3 }),
  frame('response.output_text.delta', { ...at, delta: 'Hello there.', logprobs: [], sequence_number: 4 }),
  frame('response.output_text.done', { ...at, text: 'Hello there.', logprobs: [], sequence_number: 5 }),
  frame('response.content_part.done', { ...at, part, sequence_number: 6 }),
  frame('response.output_item.done', { output_index: 0, item: message, sequence_number: 7 }),
  frame('response.completed', { response: responseExample, sequence_number: 8 }),
].join('')
