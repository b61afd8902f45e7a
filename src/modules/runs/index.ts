import { Elysia } from 'elysia'
import { headerOf, nativeAnswer } from '../../dialects/answer'
import { nativeFrames, restartFrame } from '../../dialects/native'
import { AppError } from '../../errors'
import { mapIterator } from '../../lib/iterate'
import { ok, paged } from '../../lib/page'
import { patient } from '../../lib/patient'
import { sseResponse } from '../../lib/sse'
import type { Auth } from '../../plugins/auth'
import { describe } from '../../plugins/docs'
import type { Approvals } from './approvals'
import {
  ApprovalsBody,
  approvalExample,
  parseApprovals,
  ResumeQuery,
  RunId,
  RunQuery,
  runExample,
  runJson,
} from './model'
import type { Runs } from './service'

const tag = 'Runs'

export const runs = (auth: Auth, runs: Runs, approvals: Approvals) =>
  new Elysia({ name: 'runs', prefix: '/v1/runs' })
    .use(auth)
    .get(
      '',
      async ({ user, query: { active = false, page = 1, limit = 20 } }) => {
        const { items, total } = await runs.list(user, { active, page, limit })
        return ok(paged(items.map(runJson), { page, limit }, total))
      },
      {
        query: RunQuery,
        detail: describe({
          summary: 'My answers, newest first',
          description: 'With `active=true` those being written now, e.g. to take them up again after a reload.',
          tag,
          example: ok(paged([runExample], { page: 1, limit: 20 }, 1)),
        }),
      },
    )
    .get('/:id', async ({ user, params }) => ok(runJson(await runs.find(user, params.id))), {
      params: RunId,
      detail: describe({
        summary: 'One answer',
        description:
          '`continued` says how often another server went on with it, because the one that made it was lost: 0, or 1 where the operator wants that.',
        tag,
        example: ok(runExample),
        errors: ['NOT_FOUND'],
      }),
    })
    .get(
      '/:id/stream',
      ({ user, params, query, headers }) => resume(runs, user, params.id, query.after ?? lastEventId(headers)),
      {
        beforeHandle: patient,
        params: RunId,
        query: ResumeQuery,
        detail: describe({
          summary: 'Read an answer from where I left it',
          description:
            'The events after `Last-Event-ID` (or `?after=`), those there are and those to come, numbered as in the first stream: nothing is missing and nothing comes twice. Any server gives them, whichever makes the answer; one that cannot see them as they come waits for the end. When the events are not kept any more, `event: restart` says to drop what there is, and the whole text follows.',
          tag,
          stream: 'id: 3\\ndata: {"object":"chat.completion.chunk",…}\\n\\ndata: [DONE]\\n\\n',
          errors: ['NOT_FOUND'],
        }),
      },
    )
    .post('/:id/stop', async ({ user, params }) => ok(runJson(await runs.stop(user, params.id))), {
      params: RunId,
      detail: describe({
        summary: 'Stop an answer',
        description:
          'What was delivered is kept. Also before the first word, and on any server; stopping twice changes nothing. When the server that makes the answer does not end it within five seconds, e.g. because it is gone, the run is shown as it is, `running`, and is closed later.',
        tag,
        example: ok({ ...runExample, status: 'stopped' }),
        errors: ['NOT_FOUND'],
      }),
    })
    .post(
      '/:id/approvals',
      async ({ user, params, body, set }) => {
        const waiting = await approvals.waiting(user, params.id)
        const parsed = parseApprovals(body)
        const options = { requestId: String(set.headers['x-request-id']) }
        return nativeAnswer(await approvals.decide(user, waiting, { body: parsed, options }), parsed.stream ?? true)
      },
      {
        beforeHandle: patient,
        params: RunId,
        body: ApprovalsBody,
        detail: describe({
          summary: 'Decide about calls of tools that wait',
          description:
            'For an answer that ended with `approval_required`: one decision for each call. What is allowed is called, the model reads the results, and its answer, below the first one, comes as from `POST /v1/chat/completions`. Deciding twice is 409.',
          tag,
          example: approvalExample,
          stream: 'id: 2\\ndata: {"object":"chat.completion.chunk",…}\\n\\ndata: [DONE]\\n\\n',
          errors: ['NOT_FOUND', 'CONFLICT', 'INSUFFICIENT_BALANCE', 'NOT_SUPPORTED', 'UPSTREAM_ERROR'],
        }),
      },
    )

function lastEventId(headers: Record<string, string | undefined>): number {
  const id = headers['last-event-id']
  if (id === undefined || id === '') return 0
  if (/^\d{1,9}$/.test(id)) return Number(id)
  throw new AppError('VALIDATION_ERROR', 'Last-Event-ID must be the number of an event')
}

async function resume(runs: Runs, user: Parameters<Runs['read']>[0], id: string, after: number) {
  const { run, events, restart } = await runs.read(user, id, after)
  const encode = nativeFrames(headerOf({ run }))
  let opening = restart ? restartFrame() : ''
  return sseResponse(
    mapIterator(events, (batch) => {
      const frames = opening + encode(batch)
      opening = ''
      return frames
    }),
  )
}
