import { AppError } from '../errors'
import type { ChatMessage } from '../llm/port'
import { type Echo, echoOf } from './responses-object'

/** An item or a part of one, as far as we look into it. */
export interface Item {
  type?: string | undefined
  [key: string]: unknown
}

/** The body of a Responses request, as far as we look into it. */
export interface ResponsesRequest {
  model?: string | null | undefined
  input: string | Item[]
  instructions?: string | null | undefined
  [key: string]: unknown
}

/** A request in the words of Chat Completions. */
export interface AskedResponse {
  /** What was said: by the user, by models, by tools. */
  messages: ChatMessage[]
  /** System messages among the input. */
  system: ChatMessage[]
  /** `instructions`, for this turn only. */
  instructions: ChatMessage[]
  /** The model, and everything else. */
  params: { model?: string | undefined; [key: string]: unknown }
  echo: Echo
}

/** Keys that are ours to read, that have no word in Chat Completions, or that OpenAI's own clients send without need. */
const NOT_PASSED = new Set([
  ...['input', 'instructions', 'stream', 'stream_options', 'store', 'background', 'conversation', 'metadata'],
  ...['previous_response_id', 'truncation', 'include', 'top_logprobs', 'max_tool_calls', 'reasoning', 'text'],
  ...['tools', 'tool_choice', 'max_output_tokens', 'n', 'context_management'],
])

/**
 * The request in the words of Chat Completions; keys that are nobody's are passed on.
 * @throws AppError VALIDATION_ERROR for tools and items that no model here understands.
 */
export function fromResponses(body: ResponsesRequest): AskedResponse {
  if (body.prompt) throw invalid('prompt', 'Stored prompts are not supported here. Send instructions and input')
  const tools = list(body.tools).map(toTool)
  const passed = Object.entries(body).filter(([key]) => !NOT_PASSED.has(key))
  const { format, verbosity } = (body.text ?? {}) as { format?: Item; verbosity?: unknown }
  const { effort } = (body.reasoning ?? {}) as { effort?: unknown }
  const params: AskedResponse['params'] = {
    ...Object.fromEntries(passed),
    max_tokens: body.max_output_tokens,
    tools: tools.length > 0 ? tools : undefined,
    tool_choice: toChoice(body.tool_choice),
    response_format: toResponseFormat(format),
    verbosity,
    reasoning_effort: effort,
  }
  for (const key in params) if (params[key] === undefined || params[key] === null) delete params[key]
  const said = typeof body.input === 'string' ? [{ role: 'user', content: body.input }] : toMessages(body.input)
  return {
    messages: said.filter(({ role }) => role !== 'system'),
    system: said.filter(({ role }) => role === 'system'),
    instructions: body.instructions ? [{ role: 'system', content: body.instructions }] : [],
    params,
    echo: echoOf(body),
  }
}

const invalid = (path: string, message: string) =>
  new AppError('VALIDATION_ERROR', message, { details: { fields: [{ path, message }] } })

const list = (value: unknown): Item[] => (Array.isArray(value) ? value : [])

function toTool({ type, name, description, parameters, strict }: Item) {
  if (type !== 'function') {
    throw invalid(
      'tools',
      `Tools of type ${shown(type)} run on OpenAI's servers and are not supported here; send functions`,
    )
  }
  if (typeof name !== 'string' || !name) throw invalid('tools', 'A tool of type function needs a name')
  return {
    type,
    function: {
      name,
      ...(typeof description === 'string' ? { description } : {}),
      ...(parameters ? { parameters } : {}),
      ...(typeof strict === 'boolean' ? { strict } : {}),
    },
  }
}

function toChoice(choice: unknown): unknown {
  if (typeof choice !== 'object' || choice === null) return choice
  const { type, name } = choice as Item
  if (type === 'function') return { type, function: { name } }
  throw invalid('tool_choice', `A tool_choice of type ${shown(type)} is not supported here`)
}

function toResponseFormat(format: Item | undefined | null): unknown {
  if (!format || format.type === 'text') return undefined
  const { type, ...schema } = format
  return type === 'json_schema' ? { type, json_schema: schema } : { type }
}

/** Rejected words come back in messages; short ones only. */
const shown = (type: unknown): string => String(type).slice(0, 50)

/** Chat Completions keeps in one message what an answer is made of here: a thought, a text, calls. */
function toMessages(items: Item[]): ChatMessage[] {
  const messages: ChatMessage[] = []
  let answer: ChatMessage | undefined
  const begin = () => {
    answer = { role: 'assistant', content: null }
    messages.push(answer)
    return answer
  }
  for (const [i, item] of items.entries()) {
    const path = `input.${i}`
    if (item.type === 'reasoning') {
      const thought = thoughtOf(item)
      if (thought && !answer?.tool_calls) begin().reasoning_content = thought
    } else if (item.type === 'function_call') {
      const { call_id: id, name, arguments: args } = item
      const message = answer ?? begin()
      const calls = Array.isArray(message.tool_calls) ? message.tool_calls : []
      message.tool_calls = [...calls, { id, type: 'function', function: { name, arguments: args ?? '' } }]
    } else if (isMessage(item) && item.role === 'assistant') {
      const message = answer?.content === null ? answer : begin()
      message.content = textOf(item.content)
    } else {
      answer = undefined
      messages.push(toMessage(item, path))
    }
  }
  return messages.filter(({ role, content, tool_calls }) => role !== 'assistant' || content !== null || tool_calls)
}

const isMessage = (item: Item): boolean => item.type === 'message' || (item.type === undefined && 'role' in item)

function toMessage(item: Item, path: string): ChatMessage {
  if (item.type === 'function_call_output') {
    return { role: 'tool', tool_call_id: item.call_id, content: contentOf(item.output, `${path}.output`) }
  }
  if (!isMessage(item)) {
    throw invalid(path, `Items of type ${shown(item.type)} are not supported here`)
  }
  const role = item.role === 'developer' ? 'system' : item.role
  if (role !== 'user' && role !== 'system') {
    throw invalid(`${path}.role`, 'The role of a message is user, assistant, system or developer')
  }
  return { role, content: contentOf(item.content, `${path}.content`) }
}

function thoughtOf({ summary, content }: Item): string {
  const parts = list(content).length > 0 ? list(content) : list(summary)
  return parts.map(({ text }) => (typeof text === 'string' ? text : '')).join('')
}

const textOf = (content: unknown): string =>
  typeof content === 'string'
    ? content
    : list(content)
        .map(({ text, refusal }) => String(text ?? refusal ?? ''))
        .join('')

/** One text stays a plain string, which every provider takes and which is how it is stored. */
function contentOf(content: unknown, path: string): string | object[] {
  if (typeof content === 'string') return content
  const parts = list(content).map((part, i) => toPart(part, `${path}.${i}`))
  const [only] = parts
  return parts.length === 1 && only && 'text' in only ? only.text : parts
}

type Part =
  | { type: 'text'; text: string }
  | { type: 'image_url'; image_url: { url: string; detail?: unknown } }
  | { type: 'file'; file: { filename: string; file_data: string } }

function toPart({ type, text, image_url, detail, file_data, filename }: Item, path: string): Part {
  if (typeof text === 'string' && /^(?:input_|output_)?text$/.test(type ?? '')) return { type: 'text', text }
  if (type === 'input_image' && typeof image_url === 'string') {
    return { type: 'image_url', image_url: { url: image_url, ...(typeof detail === 'string' ? { detail } : {}) } }
  }
  if (type === 'input_file' && typeof file_data === 'string') {
    return { type: 'file', file: { filename: typeof filename === 'string' ? filename : 'file.pdf', file_data } }
  }
  throw invalid(path, `Content of type ${shown(type)} is not supported here, or not in this form: files by id are not`)
}
