import { Elysia } from 'elysia'
import { ok, paged } from '../../lib/page'
import { administrator } from '../../plugins/admin'
import type { Auth } from '../../plugins/auth'
import { describe } from '../../plugins/docs'
import { ConversationId, FeedbackQuery, feedbackExample, MessageId, modelExample, Opinion, Period } from './model'
import type { Feedback } from './service'

const tag = 'Feedback'
const DESCRIPTION =
  'One opinion per person and message: said again, it replaces the older one as a whole. It is kept with a `snapshot` of what it was about.'

const giving = {
  params: MessageId,
  body: Opinion,
  detail: describe({
    summary: 'Say what I think of a message',
    description: DESCRIPTION,
    tag,
    example: ok(feedbackExample),
    errors: ['NOT_FOUND', 'CONFLICT', 'NOT_SUPPORTED'],
  }),
}

export const feedback = (auth: Auth, feedback: Feedback) =>
  new Elysia({ name: 'feedback', prefix: '/v1' })
    .use(auth)
    .put(
      '/messages/:id/feedback',
      async ({ user, params, body }) => ok(await feedback.give(user, params.id, body)),
      giving,
    )
    .post(
      '/messages/:id/feedback',
      async ({ user, params, body }) => ok(await feedback.give(user, params.id, body)),
      giving,
    )
    .get('/messages/:id/feedback', async ({ user, params }) => ok(await feedback.of(user, params.id)), {
      params: MessageId,
      detail: describe({
        summary: 'What I said of a message',
        description: '`data` is null when I have not said anything.',
        tag,
        example: ok(feedbackExample),
        errors: ['NOT_FOUND', 'NOT_SUPPORTED'],
      }),
    })
    .delete('/messages/:id/feedback', async ({ user, params }) => ok(await feedback.remove(user, params.id)), {
      params: MessageId,
      detail: describe({
        summary: 'Take back what I said of a message',
        description: '`deleted` is false when there was nothing to take back.',
        tag,
        example: ok({ message_id: feedbackExample.message_id, deleted: true }),
        errors: ['NOT_FOUND', 'NOT_SUPPORTED'],
      }),
    })
    .get(
      '/conversations/:id/feedback',
      async ({ user, params, query: { page = 1, limit = 20 } }) =>
        ok(await feedback.list(user, params.id, { page, limit })),
      {
        params: ConversationId,
        query: FeedbackQuery,
        detail: describe({
          summary: 'What I said of the messages of a conversation',
          description: 'What was changed last comes first.',
          tag,
          example: ok(paged([feedbackExample], { page: 1, limit: 20 }, 1)),
          errors: ['NOT_FOUND', 'NOT_SUPPORTED'],
        }),
      },
    )

export const feedbackByModel = (auth: Auth, feedback: Feedback) =>
  new Elysia({ name: 'feedback-by-model', prefix: '/v1/admin' })
    .use(auth)
    .derive(administrator)
    .get('/feedback', async ({ user, query }) => ok(await feedback.byModel(user.tenantId, query)), {
      query: Period,
      detail: describe({
        summary: 'How each model was liked',
        description:
          'By the people of my tenant, in what they said first in this period: the last 30 days unless `from` and `to` are given.',
        tag: 'Administration',
        example: ok({ from: '2026-10-22T10:00:00.000Z', to: '2026-11-21T10:00:00.000Z', models: [modelExample] }),
        errors: ['FORBIDDEN', 'NOT_SUPPORTED'],
      }),
    })
