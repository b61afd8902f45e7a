import { AppError } from '../errors'
import { type ThoughtBlock, thoughtFields } from '../lib/thinking'
import type { ChatMessage } from '../llm/port'

export interface Block {
  type: string
  [key: string]: unknown
}

/** A request of the Messages API, https://platform.claude.com/docs/en/api/messages. */
export interface MessagesRequest {
  model?: string | undefined
  messages: { role: 'user' | 'assistant' | 'system'; content: string | Block[] }[]
  system?: string | Block[] | undefined
  max_tokens?: number | undefined
  stop_sequences?: string[] | undefined
  tools?: { name?: string | undefined; [key: string]: unknown }[] | undefined
  tool_choice?: Block | undefined
  metadata?: { user_id?: string | null | undefined; [key: string]: unknown } | undefined
  output_config?: { [key: string]: unknown } | undefined
  [key: string]: unknown
}

/** What Chat Completions calls the same. */
const SAME = ['temperature', 'top_p'] as const
/** What only a model of Anthropic understands; other providers are not sent it, or ignore it. */
const ANTHROPIC = ['top_k', 'thinking', 'cache_control'] as const

/**
 * The request in the words of Chat Completions. Keys that neither has are left out.
 * @throws AppError VALIDATION_ERROR for content and tools that have no such words: tools that Anthropic's servers run
 *   themselves, files by id.
 */
export function toChat(body: MessagesRequest): { model?: string; messages: ChatMessage[]; [key: string]: unknown } {
  const { model, messages, system, max_tokens, stop_sequences, tools, tool_choice, metadata, output_config } = body
  const { format, ...effort } = output_config ?? {}
  const chat: Record<string, unknown> = {
    model,
    max_tokens,
    stop: stop_sequences,
    tools: tools?.map(tool),
    tool_choice: tool_choice && choice(tool_choice),
    parallel_tool_calls: tool_choice?.disable_parallel_tool_use === true ? false : undefined,
    response_format: responseFormat(format),
    output_config: Object.keys(effort).length > 0 ? effort : undefined,
    user: metadata?.user_id ?? undefined,
    service_tier: body.service_tier === 'standard_only' ? 'default' : body.service_tier,
  }
  for (const key of [...SAME, ...ANTHROPIC]) chat[key] = body[key]
  for (const key in chat) if (chat[key] === undefined || chat[key] === null) delete chat[key]
  return { ...chat, messages: [...systemOf(system), ...messages.flatMap(toMessages)] }
}

const invalid = (message: string) => new AppError('VALIDATION_ERROR', message)

function systemOf(system: string | Block[] | undefined): ChatMessage[] {
  const content = system === undefined ? '' : contentOf(system)
  return content.length > 0 ? [{ role: 'system', content }] : []
}

function toMessages({ role, content }: MessagesRequest['messages'][number]): ChatMessage[] {
  if (role === 'system') return systemOf(content)
  if (typeof content === 'string') return [{ role, content }]
  return role === 'assistant' ? [assistant(content)] : user(content)
}

/** Results of tools are messages of their own, before what else the user says. */
function user(blocks: Block[]): ChatMessage[] {
  const results = blocks.filter(({ type }) => type === 'tool_result').map(toolResult)
  const said = blocks.filter(({ type }) => type !== 'tool_result')
  return said.length > 0 || results.length === 0 ? [...results, { role: 'user', content: contentOf(said) }] : results
}

const toolResult = ({ tool_use_id, content, is_error, cache_control }: Block): ChatMessage => ({
  role: 'tool',
  tool_call_id: tool_use_id,
  content: typeof content === 'string' ? content : contentOf(Array.isArray(content) ? content : []),
  ...(is_error === true ? { is_error } : {}),
  ...(cache_control ? { cache_control } : {}),
})

function assistant(blocks: Block[]): ChatMessage {
  const calls = blocks.filter(({ type }) => type === 'tool_use').map(toolCall)
  const texts = blocks.filter(({ type }) => type === 'text')
  const cached = texts.some(({ cache_control }) => cache_control)
  const text = texts.map((block) => block.text).join('')
  return {
    role: 'assistant',
    content: cached ? texts.map(part) : calls.length > 0 && !text ? null : text,
    ...thoughtFields(blocks.filter(isThought)),
    ...(calls.length > 0 ? { tool_calls: calls } : {}),
  }
}

const isThought = (block: Block | ThoughtBlock): block is ThoughtBlock =>
  (block.type === 'thinking' && typeof (block as Block).thinking === 'string') ||
  (block.type === 'redacted_thinking' && typeof (block as Block).data === 'string')

const toolCall = ({ id, name, input }: Block) => ({
  id,
  type: 'function',
  function: { name, arguments: JSON.stringify(input ?? {}) },
})

/** One text stays a plain string, which every provider takes and which is how it is stored. */
function contentOf(content: string | Block[]): string | object[] {
  if (typeof content === 'string') return content
  const plain = content.every(({ type, cache_control }) => type === 'text' && !cache_control)
  if (plain && content.length <= 1) return String(content[0]?.text ?? '')
  return content.map(part)
}

function part(block: Block): object {
  const cached = block.cache_control ? { cache_control: block.cache_control } : {}
  if (block.type === 'text') return { type: 'text', text: block.text, ...cached }
  const { type, media_type, data, url } = (block.source ?? {}) as Record<string, unknown>
  if (block.type === 'image') {
    if (type === 'base64')
      return { type: 'image_url', image_url: { url: `data:${media_type};base64,${data}` }, ...cached }
    if (type === 'url') return { type: 'image_url', image_url: { url }, ...cached }
  }
  if (block.type === 'document') {
    const filename = typeof block.title === 'string' ? block.title : 'document.pdf'
    if (type === 'text') return { type: 'text', text: data, ...cached }
    if (type === 'base64') {
      return { type: 'file', file: { filename, file_data: `data:${media_type};base64,${data}` }, ...cached }
    }
  }
  throw invalid(`Content of type ${block.type} is not supported here, or not with this source`)
}

function tool({ name, description, input_schema, strict, type, cache_control }: Record<string, unknown>) {
  if (type !== undefined && type !== null && type !== 'custom') {
    throw invalid(`Tools of type ${type} run on Anthropic's servers and are not supported here; send an input_schema`)
  }
  return {
    type: 'function',
    function: {
      name,
      ...(description === undefined ? {} : { description }),
      parameters: input_schema,
      ...(strict === undefined ? {} : { strict }),
    },
    ...(cache_control ? { cache_control } : {}),
  }
}

function choice({ type, name }: Block): unknown {
  if (type === 'any') return 'required'
  return type === 'tool' ? { type: 'function', function: { name } } : type
}

function responseFormat(format: unknown) {
  if (typeof format !== 'object' || format === null || !('schema' in format)) return undefined
  return { type: 'json_schema', json_schema: { name: 'answer', schema: format.schema, strict: true } }
}
