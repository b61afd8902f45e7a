/** Clients of every surface: what each asks, what it understands, and its words for what it is told. */
import { ERRORS, type ErrorCode } from '../../src/errors'
import {
  type Ended,
  readAnthropic,
  readCompletion,
  readNative,
  readOpenAi,
  readResponses,
  readUi,
} from './fault-readers'

export interface Asked {
  model: string
  text: string
  /** The conversation that a client of a stateless API keeps its answer in. */
  conversationId: string
}

export interface Client {
  name: string
  /** The answer is stored, and made whether or not it can be told. */
  keeps: boolean
  /** It needs a conversation to keep the answer in. */
  needsPlace?: true
  /** It reads on when an answer begins anew. */
  restarts: boolean
  /** It gets the answer in one piece. */
  plain?: true
  request(asked: Asked): { path: string; body: object; headers?: Record<string, string> }
  /** @throws Error when what came breaks the protocol, or says both that it is complete and that it is not. */
  read(status: number, body: string): Promise<Ended>
  /** How it is told of a failure before the first word, and of one after it. */
  errors(code: ErrorCode): { before: string; after: string }
  /** Its words for how an answer ended: all was said, or a content filter struck. */
  reasons: { all: string; filtered: string }
  /** How it is told that the answer begins anew, which it cannot follow. */
  anew?: string
}

const messagesOf = (text: string) => [{ role: 'user', content: text }]

const sameCode = (code: ErrorCode) => ({ before: code, after: code })

const OPENAI_TYPES: Partial<Record<ErrorCode, string>> = {
  RATE_LIMIT_EXCEEDED: 'rate_limit_error',
  BAD_REQUEST: 'invalid_request_error',
}
const openAiErrors = (code: ErrorCode) => {
  const type = OPENAI_TYPES[code] ?? 'server_error'
  return { before: `${ERRORS[code].status} ${type}`, after: `200 ${type}` }
}

const ANTHROPIC_WORDS: Partial<Record<ErrorCode, [status: number, type: string]>> = {
  RATE_LIMIT_EXCEEDED: [429, 'rate_limit_error'],
  BAD_REQUEST: [400, 'invalid_request_error'],
  UPSTREAM_UNAVAILABLE: [529, 'overloaded_error'],
  UPSTREAM_TIMEOUT: [504, 'timeout_error'],
}
const anthropicErrors = (code: ErrorCode) => {
  const [status, type] = ANTHROPIC_WORDS[code] ?? [500, 'api_error']
  return { before: `${status} ${type}`, after: `200 ${type}` }
}

const RESPONSES_CODES: Partial<Record<ErrorCode, string>> = {
  RATE_LIMIT_EXCEEDED: 'rate_limit_exceeded',
  BAD_REQUEST: 'invalid_prompt',
}
const responsesErrors = (code: ErrorCode) => ({
  before: openAiErrors(code).before,
  after: `200 ${RESPONSES_CODES[code] ?? 'server_error'}`,
})

/** The stream of an answer that is kept is open before the model is asked. */
const opened = (errors: Client['errors']) => (code: ErrorCode) => {
  const { after } = errors(code)
  return { before: after, after }
}

const completions = (body: object) => ({ path: '/v1/chat/completions', body })
const messages = (body: object) => ({ path: '/v1/messages', body: { max_tokens: 100, ...body } })
const streamed = { stream: true, stream_options: { include_usage: true } }
const uiMessage = (text: string) => ({ id: 'm1', role: 'user', parts: [{ type: 'text', text }] })

const OPENAI = { reasons: { all: 'stop', filtered: 'content_filter' }, read: readOpenAi, errors: openAiErrors }
const ANTHROPIC = { reasons: { all: 'end_turn', filtered: 'refusal' }, read: readAnthropic, errors: anthropicErrors }
const RESPONSES = {
  reasons: { all: 'completed', filtered: 'content_filter' },
  read: readResponses,
  errors: responsesErrors,
}

export const CLIENTS: Client[] = [
  {
    name: 'native',
    keeps: true,
    restarts: true,
    ...OPENAI,
    request: ({ model, text }) => completions({ model, message: text }),
    read: readNative,
    errors: sameCode,
  },
  {
    name: 'openai',
    keeps: false,
    restarts: false,
    ...OPENAI,
    request: ({ model, text }) => completions({ model, messages: messagesOf(text), ...streamed }),
  },
  {
    name: 'openai plain',
    keeps: false,
    restarts: true,
    plain: true,
    ...OPENAI,
    request: ({ model, text }) => completions({ model, messages: messagesOf(text) }),
    read: readCompletion,
  },
  {
    name: 'openai kept',
    keeps: true,
    needsPlace: true,
    restarts: false,
    ...OPENAI,
    request: ({ model, text, conversationId: conversation_id }) =>
      completions({ model, messages: messagesOf(text), ...streamed, conversation_id }),
    errors: opened(openAiErrors),
    anew: '200 server_error',
  },
  {
    name: 'anthropic',
    keeps: false,
    restarts: false,
    ...ANTHROPIC,
    request: ({ model, text }) => messages({ model, messages: messagesOf(text), stream: true }),
  },
  {
    name: 'anthropic kept',
    keeps: true,
    needsPlace: true,
    restarts: false,
    ...ANTHROPIC,
    request: ({ model, text, conversationId: conversation_id }) =>
      messages({ model, messages: messagesOf(text), stream: true, metadata: { conversation_id } }),
    errors: opened(anthropicErrors),
    anew: '200 overloaded_error',
  },
  {
    name: 'responses',
    keeps: false,
    restarts: false,
    ...RESPONSES,
    request: ({ model, text }) => ({ path: '/v1/responses', body: { model, input: text, stream: true, store: false } }),
  },
  {
    name: 'responses kept',
    keeps: true,
    restarts: false,
    ...RESPONSES,
    request: ({ model, text }) => ({ path: '/v1/responses', body: { model, input: text, stream: true } }),
    errors: opened(responsesErrors),
    anew: '200 server_error',
  },
  {
    name: 'ai sdk',
    keeps: true,
    restarts: true,
    ...OPENAI,
    request: ({ model, text }) => ({
      path: '/api/chat',
      body: { id: crypto.randomUUID(), model, messages: [uiMessage(text)] },
    }),
    read: readUi,
    errors: sameCode,
  },
]
