/** What the fake provider says, before it is encoded: per choice a row of OpenAI deltas and a finish reason. */

type Part = { type: string; text?: string }
export type ChatMessage = {
  role: string
  content?: string | Part[] | null
  tool_call_id?: string
  tool_calls?: unknown
}
export type ChatBody = {
  model: string
  messages: ChatMessage[]
  stream?: boolean
  stream_options?: { include_usage?: boolean }
  n?: number
  tools?: { type: string; function: { name: string } }[]
  response_format?: { type: string }
  [key: string]: unknown
}

export type ToolCallDelta = {
  index: number
  id?: string
  type?: 'function'
  function: { name?: string; arguments: string }
}
/** Further keys, such as reasoning_content, are strings too. */
export type Delta = {
  content?: string
  tool_calls?: ToolCallDelta[]
  [field: string]: string | ToolCallDelta[] | undefined
}
export type Reply = {
  deltas: { choice: number; delta: Delta }[]
  choices: number
  finish: string | undefined
  done: boolean
  usage: boolean
  delayMs: number
}

const SENTENCE = ['The ', 'quick ', 'brown ', 'fox']

export function replyFor(name: string, args: string[], body: ChatBody): Reply | undefined {
  const last = body.messages.at(-1)
  if (last?.role === 'tool' && name.startsWith('tool')) return says(['The tool said: ', textOf(last)])
  const count = Number(args[0] ?? 1)
  switch (name) {
    case 'echo':
    case 'flaky':
    case 'bom':
    case 'comments':
    case 'crlf':
    case 'tool-result':
      return says(words(lastUserText(body)))
    case 'tokens':
      return says(tokens(count))
    case 'many':
      return says(tokens(10_000))
    case 'slow':
      return says(tokens(Number(args[1] ?? 20)), { delayMs: count })
    case 'half-frame':
    case 'silent':
    case 'error-frame':
      return says(tokens(10))
    case 'silent-after':
    case 'cut-after':
    case 'error-after':
      return says(tokens(count + 10))
    case 'tools':
      return calls(body, count)
    case 'call':
      return called(body, args)
    case 'reasoning':
      return { ...says([]), deltas: thought(args[0] ?? 'reasoning_content') }
    case 'n':
      return choices(body.n ?? 1)
    case 'json':
      return says(body.response_format ? ['{"answer":', '42,', '"ok":true}'] : ['No format ', 'was asked.'])
    case 'length':
      return says(SENTENCE, { finish: 'length' })
    case 'content-filter':
      return says(SENTENCE, { finish: 'content_filter' })
    case 'no-usage':
      return says(SENTENCE, { usage: false })
    case 'no-done':
      return says(SENTENCE, { done: false })
    case 'no-finish':
      return says(SENTENCE, { finish: undefined, done: false, usage: false })
    case 'split-utf8':
      return says(['Привет, ', 'мир ', '🌍', '👩‍👩‍👧 ', 'ё', '𝕏'])
    case 'long-line':
      return says(['x'.repeat(Number(args[0] ?? 10) * 1024 * 1024)])
    default:
      return undefined
  }
}

function says(pieces: string[], changes: Partial<Reply> = {}): Reply {
  const deltas = pieces.map((content) => ({ choice: 0, delta: { content } }))
  return {
    deltas,
    choices: 1,
    finish: 'stop',
    done: true,
    usage: true,
    delayMs: 0,
    ...changes,
  }
}

function calls(body: ChatBody, count: number): Reply {
  const names = (body.tools ?? []).slice(0, count).map((tool) => tool.function.name)
  if (names.length === 0) names.push('get_weather')
  const asked = lastUserText(body)
  const json = asked.trim().startsWith('{') ? asked : '{"city":"Paris"}'
  const deltas = names.flatMap((name, index) => [
    {
      index,
      id: `call_${index + 1}`,
      type: 'function' as const,
      function: { name, arguments: '' },
    },
    ...(json.match(/.{1,4}/gsu) ?? []).map((piece) => ({
      index,
      function: { arguments: piece },
    })),
  ])
  return {
    ...says([], { finish: 'tool_calls' }),
    deltas: deltas.map((d) => ({ choice: 0, delta: { tool_calls: [d] } })),
  }
}

/** Calls a tool by its name, so many times; then repeats what the last one said. */
function called(body: ChatBody, [name = '', times = '1']: string[]): Reply {
  const results = body.messages.slice(body.messages.findLastIndex(({ role }) => role === 'user') + 1)
  const done = results.filter(({ role }) => role === 'tool').length
  if (done >= Number(times)) return says(['The tool said: ', textOf(body.messages.at(-1))])
  const call = calls({ ...body, tools: [{ type: 'function', function: { name } }] }, 1)
  return { ...call, deltas: [...says(['Let me see. ']).deltas, ...call.deltas] }
}

function thought(field: string): Reply['deltas'] {
  const thinking = ['Six ', 'times ', 'seven.'].map((piece) => ({
    choice: 0,
    delta: { [field]: piece },
  }))
  return [...thinking, ...says(['The ', 'answer ', 'is 42.']).deltas]
}

function choices(count: number): Reply {
  const order = Array.from({ length: count }, (_, choice) => choice)
  const rows = ['choice ', 'number '].map((word) => order.map((choice) => ({ choice, delta: { content: word } })))
  const ends = order.map((choice) => ({
    choice,
    delta: { content: String(choice) },
  }))
  return { ...says([]), deltas: [...rows.flat(), ...ends], choices: count }
}

const tokens = (count: number): string[] => Array.from({ length: count }, (_, i) => (i === 0 ? 't1' : ` t${i + 1}`))

const words = (text: string): string[] => text.match(/\s*\S+|\s+/g) ?? []

const lastUserText = (body: ChatBody): string => textOf(body.messages.findLast((message) => message.role === 'user'))

export function textOf(message: ChatMessage | undefined): string {
  const content = message?.content ?? ''
  return typeof content === 'string' ? content : content.map((part) => part.text ?? '').join('')
}
