/** What the fake Anthropic provider says: the events of a message. The table of names is in fake-anthropic.ts. */

export interface AnthropicBlock {
  type: string
  [key: string]: unknown
}
export interface AnthropicBody {
  model: string
  max_tokens: number
  messages: { role: string; content: string | AnthropicBlock[] }[]
  tools?: { name: string }[]
  thinking?: { type: string; budget_tokens?: number }
  [key: string]: unknown
}
export type AnthropicEvent = { type: string; [key: string]: unknown }

export const SIGNATURE = 'c2lnbmVk'
export const REDACTED = 'cmVkYWN0ZWQ='
const THOUGHT = ['Six times ', 'seven.']

export function eventsFor(body: AnthropicBody): AnthropicEvent[] | undefined {
  const [name = '', arg = ''] = body.model.split(':')
  const results = body.messages.at(-1)?.content
  const said = Array.isArray(results) ? results.filter(({ type }) => type === 'tool_result') : []
  if (said.length > 0 && /tools$/.test(name)) {
    if (name === 'thinking-tools' && !thoughtCameBack(body)) return undefined
    return message(body, [text(['The tool said: ', said.map(({ content }) => textOf(content)).join(', ')])])
  }
  const blocks = blocksFor(name, arg, body)
  const events = blocks && message(body, blocks, { stop: name === 'stop' ? arg : stopOf(name) })
  return events && twisted(name, events)
}

const stopOf = (name: string) => (/tools$|no-input/.test(name) ? 'tool_use' : 'end_turn')

function blocksFor(name: string, arg: string, body: AnthropicBody): AnthropicEvent[][] | undefined {
  const count = Number(arg || 1)
  const parts = body.model.split(':')
  switch (name) {
    case 'echo':
    case 'stop':
    case 'cached':
    case 'no-usage':
    case 'two-starts':
    case 'pings':
    case 'no-stop':
    case 'empty':
      return [text(lastText(body).match(/\s*\S+/g) ?? [])]
    case 'claude-sonnet-4-5':
      return [text(['I am ', 'Claude.'])]
    case 'tokens':
      return [text(tokens(count))]
    case 'half-frame':
      return [text(tokens(5).slice(begun(body).split(' ').filter(Boolean).length))]
    case 'slow':
      return [text(tokens(Number(parts[2] ?? 20)))]
    case 'huge':
      return [text(['x'.repeat(count * 1024 * 1024)])]
    case 'cut-after':
    case 'silent-after':
    case 'error-after':
      return [text(tokens(Number(arg) + 10))]
    case 'tools':
      return [
        text(['Let me ', 'look.']),
        ...(body.tools ?? []).slice(0, count).map(({ name: tool }, i) => call(tool, i)),
      ]
    case 'no-input':
      return [[start({ type: 'tool_use', id: 'toolu_1', name: 'now', input: {} }), piece('input_json_delta', '')]]
    case 'thinking':
      return [thinking(), [start({ type: 'redacted_thinking', data: REDACTED })], text(['The answer ', 'is 42.'])]
    case 'thinking-tools':
      return [thinking(), call(body.tools?.[0]?.name ?? 'f', 0)]
    case 'unknown':
      return [
        [start({ type: 'server_tool_use', id: 's1', name: 'web_search', input: {} }), piece('input_json_delta', '{}')],
        [...text(['Known']), { type: 'content_block_delta', delta: { type: 'citations_delta', citation: {} } }],
      ]
  }
  return undefined
}

const start = (content_block: AnthropicBlock): AnthropicEvent => ({ type: 'content_block_start', content_block })
const KEYS: Record<string, string> = {
  text_delta: 'text',
  thinking_delta: 'thinking',
  signature_delta: 'signature',
  input_json_delta: 'partial_json',
}
const piece = (type: string, value: string): AnthropicEvent => ({
  type: 'content_block_delta',
  delta: { type, [KEYS[type] ?? type]: value },
})
const text = (pieces: string[]) => [start({ type: 'text', text: '' }), ...pieces.map((p) => piece('text_delta', p))]
const thinking = () => [
  start({ type: 'thinking', thinking: '', signature: '' }),
  ...THOUGHT.map((p) => piece('thinking_delta', p)),
  piece('signature_delta', SIGNATURE),
]
const call = (name: string, i: number) => [
  start({ type: 'tool_use', id: `toolu_${i + 1}`, name, input: {} }),
  piece('input_json_delta', ''),
  piece('input_json_delta', '{"city": '),
  piece('input_json_delta', '"Paris"}'),
]
const tokens = (count: number) => Array.from({ length: count }, (_, i) => (i === 0 ? 't1' : ` t${i + 1}`))

function message(body: AnthropicBody, blocks: AnthropicEvent[][], { stop = 'end_turn' } = {}): AnthropicEvent[] {
  const said = blocks.flat().filter(({ type }) => type === 'content_block_delta').length
  const cached = body.model === 'cached'
  const input = {
    input_tokens: 12,
    cache_creation_input_tokens: cached ? 30 : 0,
    cache_read_input_tokens: cached ? 100 : 0,
  }
  const head = { id: 'msg_1', type: 'message', role: 'assistant', model: `${body.model}-real`, content: [] }
  return [
    {
      type: 'message_start',
      message: { ...head, stop_reason: null, stop_sequence: null, usage: { ...input, output_tokens: 1 } },
    },
    ...blocks.flatMap((events, index) => [...events, { type: 'content_block_stop' }].map((e) => ({ ...e, index }))),
    { type: 'message_delta', delta: { stop_reason: stop, stop_sequence: null }, usage: { output_tokens: said } },
    { type: 'message_stop' },
  ]
}

function twisted(name: string, events: AnthropicEvent[]): AnthropicEvent[] {
  const [first, ...rest] = events as [AnthropicEvent, ...AnthropicEvent[]]
  if (name === 'two-starts') return [first, first, ...rest]
  if (name === 'no-stop') return events.slice(0, -1)
  if (name === 'unknown') return events.flatMap((event) => [{ type: 'news_of_tomorrow', index: 7 }, event])
  if (name !== 'no-usage') return events
  return JSON.parse(JSON.stringify(events, (key, value) => (key === 'usage' ? undefined : value)))
}

function thoughtCameBack({ messages }: AnthropicBody): boolean {
  const [block] = (messages.at(-2)?.content ?? []) as AnthropicBlock[]
  return block?.type === 'thinking' && block.thinking === THOUGHT.join('') && block.signature === SIGNATURE
}

/** The beginning of the answer that the request gives. */
function begun({ messages }: AnthropicBody): string {
  const last = messages.at(-1)
  return last?.role === 'assistant' ? textOf(last.content) : ''
}

function lastText({ messages }: AnthropicBody): string {
  return textOf(messages.findLast(({ role }) => role === 'user')?.content)
}

function textOf(content: unknown): string {
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return ''
  return content.map((block: AnthropicBlock) => (block.type === 'text' ? String(block.text) : '')).join('')
}

export const typeOfStatus = (status: number): string =>
  ({
    400: 'invalid_request_error',
    401: 'authentication_error',
    403: 'permission_error',
    404: 'not_found_error',
    413: 'request_too_large',
    429: 'rate_limit_error',
    529: 'overloaded_error',
  })[status] ?? 'api_error'
