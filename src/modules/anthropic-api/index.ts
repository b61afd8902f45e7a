import { Elysia } from 'elysia'
import { replayed } from '../../dialects/answer'
import { anthropicFrames, anthropicMessage, anthropicRunFrames, anthropicRunMessage } from '../../dialects/anthropic'
import { toChat } from '../../dialects/anthropic-in'
import type { ErrorCode } from '../../errors'
import { primed } from '../../lib/iterate'
import { patient } from '../../lib/patient'
import { sseResponse } from '../../lib/sse'
import { estimateRequest } from '../../lib/token-estimate'
import { turnOptions } from '../../lib/turn-options'
import type { Auth } from '../../plugins/auth'
import { describe } from '../../plugins/docs'
import type { User } from '../../store/port'
import type { OpenAiChat } from '../chat/model'
import type { Answer, Chat } from '../chat/service'
import { CountBody, countExample, MessagesBody, MessagesHeaders, messageExample, messageStreamExample } from './model'

const tag = 'Anthropic'
const ERRORS: ErrorCode[] = [
  'FORBIDDEN',
  'NOT_FOUND',
  'CONFLICT',
  'PAYLOAD_TOO_LARGE',
  'UPSTREAM_ERROR',
  'UPSTREAM_UNAVAILABLE',
  'UPSTREAM_TIMEOUT',
]

/** What the Anthropic SDK talks to, whichever provider answers. */
export const anthropicApi = (auth: Auth, chat: Chat) =>
  new Elysia({ name: 'anthropic-api', prefix: '/v1/messages' })
    // The header that the SDK quotes in its errors, also in those about who is asking.
    .onTransform(function named({ set }) {
      set.headers['request-id'] = String(set.headers['x-request-id'])
    })
    .use(auth)
    .onBeforeHandle(patient)
    .post(
      '',
      async ({ user, body, headers, request, set }) => {
        const requestId = String(set.headers['x-request-id'])
        const conversationId = headers['x-conversation-id'] ?? body.metadata?.conversation_id
        if (!conversationId) return stateless(chat, user, { body, left: request.signal, requestId })
        const answer = await chat.bound(user, conversationId, chatOf(body), turnOptions(headers, set))
        return bound(answer, { stream: body.stream ?? false, requestId })
      },
      {
        body: MessagesBody,
        headers: MessagesHeaders,
        detail: describe({
          summary: 'Create a message',
          description: MESSAGES,
          tag,
          example: messageExample,
          stream: messageStreamExample,
          errors: [...ERRORS, 'INSUFFICIENT_BALANCE'],
        }),
      },
    )
    .post('/count_tokens', ({ body }) => ({ input_tokens: estimateRequest(toChat(body)) }), {
      body: CountBody,
      detail: describe({
        summary: 'Estimate the tokens of a message',
        description:
          'From the length of the texts, at once and for any model: within a fifth or so for English, higher than real for other scripts. Images and files count as a fixed number.',
        tag,
        example: countExample,
        errors: ['PAYLOAD_TOO_LARGE'],
      }),
    })

const chatOf = (body: MessagesBody) => toChat(body) as OpenAiChat

interface Asked {
  body: MessagesBody
  left: AbortSignal
  requestId: string
}

/** The answer belongs to the connection: when the client leaves, the model is stopped. */
async function stateless(chat: Chat, user: User, { body, left, requestId }: Asked) {
  const abort = new AbortController()
  left.addEventListener('abort', () => abort.abort(), { once: true })
  const { header, events } = await chat.stateless(user, chatOf(body), {
    signal: abort.signal,
    mayRestart: !body.stream,
  })
  const named = { id: header.id.replace('chatcmpl-', 'msg_'), model: header.model }
  if (!body.stream) return Response.json(await anthropicMessage(events, named))
  const first = await primed(events[Symbol.asyncIterator]())
  return sseResponse(anthropicFrames(first, { header: named, requestId }), { onCancel: () => abort.abort() })
}

async function bound(answer: Answer, { stream, requestId }: { stream: boolean; requestId: string }) {
  const { run, events } = answer
  const header = { id: `msg_${run.id}`, model: run.model }
  const response = stream
    ? sseResponse(anthropicRunFrames(events, { header, requestId }))
    : Response.json(await anthropicRunMessage(events, header))
  return replayed(answer, response)
}

const MESSAGES = `The Anthropic Messages API for any model: system prompts, images, PDFs, tools and their results, thinking, structured output, prompt caching where the model is Anthropic's. Errors have Anthropic's shape and statuses. Streams as Anthropic's events when \`stream\` is true.

Nothing is stored and the answer ends when the client leaves, unless a conversation is named by \`X-Conversation-Id\` or \`metadata.conversation_id\`. Then new messages are added to what is stored, and a whole history (one with answers in it) is laid over the stored path: what differs becomes a branch. \`message\` then carries \`conversation_id\`, \`message_id\` and \`run_id\`.

When an answer breaks off and another model begins it anew, the stream ends with an \`overloaded_error\`: this protocol cannot take back what was said.`
