import { Elysia } from 'elysia'
import { type UiLevel, uiFrames } from '../../dialects/ai-sdk'
import { uiRequest } from '../../dialects/ai-sdk-messages'
import { replayed } from '../../dialects/answer'
import type { ErrorCode } from '../../errors'
import { mapIterator } from '../../lib/iterate'
import { patient } from '../../lib/patient'
import { sseResponse } from '../../lib/sse'
import { turnOptions } from '../../lib/turn-options'
import type { Auth } from '../../plugins/auth'
import { describe } from '../../plugins/docs'
import {
  ChatId,
  LevelQuery,
  levelOf,
  ResumeHeaders,
  SendHeaders,
  stoppedExample,
  UiBody,
  uiStreamExample,
} from './model'
import type { AiSdk, UiAnswer } from './service'

const tag = 'AI SDK'
const ERRORS: ErrorCode[] = [
  'INSUFFICIENT_BALANCE',
  'FORBIDDEN',
  'NOT_FOUND',
  'CONFLICT',
  'PAYLOAD_TOO_LARGE',
  'UPSTREAM_ERROR',
  'UPSTREAM_UNAVAILABLE',
]

/** What `useChat` of the AI SDK talks to. Failures before the stream are plain sentences: a page shows them as they are. */
export const aiSdk = (auth: Auth, chats: AiSdk) =>
  new Elysia({ name: 'ai-sdk', prefix: '/api/chat' })
    .use(auth)
    .onBeforeHandle(patient)
    .post(
      '',
      async ({ user, body, headers, query, set }) =>
        stream(await chats.send(user, uiRequest(body), turnOptions(headers, set)), { level: levelOf(headers, query) }),
      {
        body: UiBody,
        query: LevelQuery,
        headers: SendHeaders,
        detail: describe({
          summary: 'Send a message from `useChat`, get the answer',
          description: SEND,
          tag,
          stream: uiStreamExample,
          errors: ERRORS,
        }),
      },
    )
    .get(
      '/:id/stream',
      async ({ user, params, headers, query }) => {
        const active = await chats.resume(user, params.id)
        if (!active) return new Response(null, { status: 204 })
        return stream(active, { level: levelOf(headers, query), after: Number(headers['last-event-id'] ?? 0) })
      },
      {
        params: ChatId,
        query: LevelQuery,
        headers: ResumeHeaders,
        detail: describe({
          summary: 'Take up the answer that is being written in a chat',
          description:
            'From its first chunk, or after `Last-Event-ID`. 204 when nothing is being written, also in a chat that does not exist: what `resume` of `useChat` expects.',
          tag,
          stream: uiStreamExample,
          errors: ['NOT_FOUND', 'CONFLICT'],
        }),
      },
    )
    .post('/:id/stop', ({ user, params }) => chats.stop(user, params.id), {
      params: ChatId,
      detail: describe({
        summary: 'Stop the answer that is being written in a chat',
        description:
          'What was delivered is kept. `stopped` is false when nothing was being written. The body is ignored.',
        tag,
        example: stoppedExample,
        errors: ['NOT_FOUND', 'CONFLICT'],
      }),
    })

function stream({ answer, messageId }: UiAnswer, options: { level: UiLevel; after?: number }) {
  const response = sseResponse(mapIterator(answer.events, uiFrames({ ...options, messageId })))
  response.headers.set('x-vercel-ai-ui-message-stream', 'v1')
  return replayed(answer, response)
}

const SEND = `The AI SDK's UI message stream, as \`DefaultChatTransport\` of \`ai\` 5, 6 and 7 expects it. The conversation is kept: \`id\` is the page's own name for it. A history in \`messages\` is laid over what is stored, and where it differs a branch begins, so edits and regenerations need nothing more; \`message\` alone is added at the end.

The stream keeps to what every release since 5 reads. \`ui-stream: 6\` or \`7\` (header or query) allows what those know. Our facts come as transient \`data-ids\`, \`data-usage\` and \`data-error\` parts.

Failures before the stream are one plain sentence, with the code in \`x-error-code\`. \`Idempotency-Key\`: the same key with the same body answers with what the first request made.`
