import { Elysia } from 'elysia'
import { headerOf, nativeAnswer, replayed, wantsStream } from '../../dialects/answer'
import { isRestart } from '../../dialects/chunks'
import { openAiCompletion, openAiFrames, openAiRunFrames, runCompletion } from '../../dialects/openai'
import type { ErrorCode } from '../../errors'
import { endWhen, mapIterator, primed } from '../../lib/iterate'
import { patient } from '../../lib/patient'
import { sseResponse } from '../../lib/sse'
import { mayRestart, turnOptions } from '../../lib/turn-options'
import type { Auth } from '../../plugins/auth'
import { describe } from '../../plugins/docs'
import type { RunBatch } from '../../runs/port'
import type { User } from '../../store/port'
import { ChatBody, completionExample, type OpenAiChat, parseChat, Regenerate, streamExample } from './model'
import type { Answer, Chat } from './service'

const ERRORS: ErrorCode[] = [
  'INSUFFICIENT_BALANCE',
  'FORBIDDEN',
  'NOT_FOUND',
  'CONFLICT',
  'PAYLOAD_TOO_LARGE',
  'UPSTREAM_ERROR',
  'UPSTREAM_UNAVAILABLE',
  'UPSTREAM_TIMEOUT',
]

export const chat = (auth: Auth, chat: Chat) =>
  new Elysia({ name: 'chat', prefix: '/v1/chat' })
    .use(auth)
    .onBeforeHandle(patient)
    .post(
      '/completions',
      async ({ user, body, headers, request, set }) => {
        const parsed = parseChat(body, headers)
        const options = turnOptions(headers, set)
        const restarts = mayRestart(headers)
        if (parsed.kind === 'stateless')
          return stateless(chat, user, { body: parsed.body, restarts, left: request.signal })
        if (parsed.kind === 'native')
          return nativeAnswer(await chat.send(user, parsed.body, options), parsed.body.stream ?? true)
        return bound(await chat.bound(user, parsed.conversationId, parsed.body, options), {
          body: parsed.body,
          restarts,
        })
      },
      {
        body: ChatBody,
        detail: describe({
          summary: 'Say something, get the answer',
          description: COMPLETIONS,
          tag: 'Chat',
          example: completionExample,
          stream: streamExample,
          errors: ERRORS,
        }),
      },
    )
    .post(
      '/regenerate',
      async ({ user, body, headers, set }) =>
        nativeAnswer(await chat.regenerate(user, body, turnOptions(headers, set)), wantsStream(body, headers)),
      {
        body: Regenerate,
        detail: describe({
          summary: 'Answer a message again',
          description: REGENERATE,
          tag: 'Chat',
          example: completionExample,
          stream: streamExample,
          errors: ERRORS,
        }),
      },
    )

async function bound(answer: Answer, { body, restarts }: { body: OpenAiChat; restarts: boolean }) {
  const header = headerOf(answer)
  if (!body.stream) return replayed(answer, Response.json(await runCompletion(answer.events, header)))
  const includeUsage = body.stream_options?.include_usage ?? false
  const frames = openAiRunFrames({ header, includeUsage, restarts })
  let over = false
  const encode = (batch: RunBatch) => {
    over = !restarts && batch.events.some(isRestart)
    return frames(batch)
  }
  return replayed(answer, sseResponse(endWhen(mapIterator(answer.events, encode), () => over)))
}

interface Stateless {
  body: OpenAiChat
  /** The client said that an answer may begin anew. */
  restarts: boolean
  /** Aborts when the client leaves. */
  left: AbortSignal
}

/** The answer belongs to the connection: when the client leaves, the model is stopped. */
async function stateless(chat: Chat, user: User, { body, restarts, left }: Stateless) {
  const abort = new AbortController()
  left.addEventListener('abort', () => abort.abort(), { once: true })
  const reader = { signal: abort.signal, mayRestart: restarts || !body.stream }
  const { header, events } = await chat.stateless(user, body, reader)
  if (!body.stream) return Response.json(await openAiCompletion(events, header))
  const first = await primed(events[Symbol.asyncIterator]())
  const frames = openAiFrames(first, {
    header,
    includeUsage: body.stream_options?.include_usage ?? false,
    restarts,
  })
  return sseResponse(frames, { onCancel: () => abort.abort() })
}

const COMPLETIONS = `Two APIs at one address.

**With \`message\`** (our own): the server keeps the conversation. Streams unless \`stream\` is \`false\`. The stream is OpenAI chunks with our facts as extra fields: \`conversation_id\`, \`branch_id\`, \`message_id\`, \`run_id\` on the first; \`usage\`, \`cost_usd\`, \`cost\`, \`finish_reason\` on the last; then \`[DONE]\`. A failure is \`data: {"error": …}\`. The answer is made whether or not anyone listens: a dropped client resumes with \`GET /v1/runs/{run_id}/stream\` and \`Last-Event-ID\`.

**With \`messages\`** (the OpenAI Chat Completions API): nothing is stored and the answer ends when the client leaves, unless a conversation is named by \`conversation_id\` or \`X-Conversation-Id\`. Then new messages are added to what is stored, and a whole history (one with answers in it) is laid over the stored path: what differs becomes a branch. Errors have OpenAI's shape and statuses. When an answer has to begin anew, because its provider broke off, the stream ends with an error; after \`X-Stream-Restart: allow\` a chunk with \`"restart": true\` and no choices says so instead, and the whole text follows.

\`Idempotency-Key\`: the same key with the same body answers with what the first request made; a stored answer also while it is still being written.

The same over a WebSocket, many conversations over one connection: \`/v1/ws\`, with the frames of \`GET /v1/ws/schema.json\`.`

const REGENERATE = `Makes a sibling of an answer, on a new branch, and makes that the active one. Answers with one JSON object that names \`conversation_id\`, \`branch_id\` and \`message_id\`; streams when \`stream\` is \`true\` or the request accepts \`text/event-stream\`.`
