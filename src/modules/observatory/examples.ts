import type { conversationJson, messageJson } from './model'

export const conversationExample = {
  id: '0199c0de-0000-7000-8000-000000000001',
  title: 'Customer Support Chat',
  user_id: 'user_123',
  metadata: { source: 'web' },
  created_at: '2026-11-21T10:00:00Z',
  updated_at: '2026-11-21T10:00:01Z',
} satisfies ReturnType<typeof conversationJson>

const question = {
  id: '0199c0de-0000-7000-8000-000000000005',
  conversation_id: conversationExample.id,
  role: 'user',
  content: 'Hello, how are you?',
  provider: null,
  model: null,
  prompt_tokens: null,
  completion_tokens: null,
  total_tokens: null,
  cost_usd: null,
  latency_ms: null,
  time_to_first_token_ms: null,
  trace_id: null,
  span_id: null,
  metadata: {},
  error: null,
  created_at: '2026-11-21T10:00:00Z',
} satisfies ReturnType<typeof messageJson>

const usage = { prompt_tokens: 4, completion_tokens: 2, total_tokens: 6 }

const answer = {
  ...question,
  id: '0199c0de-0000-7000-8000-000000000003',
  role: 'assistant',
  content: 'Hello there.',
  provider: 'demo',
  model: 'demo/eliza',
  ...usage,
  cost_usd: 0,
  latency_ms: 840,
  time_to_first_token_ms: 120,
  trace_id: '4bf92f3577b34da6a3ce929d0e0e4736',
  span_id: '00f067aa0ba902b7',
  metadata: { finish_reason: 'stop' },
} satisfies ReturnType<typeof messageJson>

export const toldExample = { ...conversationExample, messages: [question, answer], total_messages: 2 }
export const repliedExample = { message: answer, conversation_id: conversationExample.id, usage, cost_usd: 0 }
export const messagesExample = { messages: [question, answer], total: 2, limit: 50, offset: 0 }

export const feedbackExample = {
  id: '0199c0de-0000-7000-8000-00000000000f',
  conversation_id: conversationExample.id,
  message_id: answer.id,
  feedback_type: 'thumbs_up',
  rating: 5,
  comment: 'Very helpful response!',
  user_id: 'user_123',
  metadata: {},
  created_at: '2026-11-21T10:00:02Z',
}

const RUN = '0199c0de-0000-7000-8000-000000000004'
export const streamExample = [
  ': open\n\n',
  `id: ${RUN}:2\ndata: {"content":"Hello","done":false}\n\n`,
  `id: ${RUN}:3\ndata: {"content":" there.","done":false}\n\n`,
  `id: ${RUN}:4\ndata: {"content":"","done":true,"message_id":"${answer.id}"}\n\n`,
].join('')
