import { type Static, type TObject, type TSchema, Type } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { t } from 'elysia'
import { AppError } from '../../errors'
import { validationError } from '../../lib/problems'
import { NativeChat } from '../shapes'

/** The subprotocol, and the version of all frames. */
export const PROTOCOL = 'chat.v1'

const Id = t.Optional(
  t.String({ minLength: 1, maxLength: 128, description: "The client's own name for this request; answers repeat it" }),
)
const RunId = t.String({ format: 'uuid', description: '`run_id` of an `event`' })

/** What clients send, by `type`. */
const CLIENT = {
  auth: t.Object(
    { type: t.Literal('auth'), id: Id, token: t.String({ minLength: 1, maxLength: 8192 }) },
    { description: 'Signs in, within 10 s of opening; later: a fresh token of the same person' },
  ),
  chat: t.Object(
    {
      type: t.Literal('chat'),
      id: Id,
      idempotency_key: t.Optional(t.String({ pattern: '^[\\x21-\\x7e]{1,255}$', description: 'As `Idempotency-Key`' })),
      ...NativeChat.properties,
    },
    { additionalProperties: true, description: 'The body of `POST /v1/chat/completions`. Always streams' },
  ),
  stop: t.Object({ type: t.Literal('stop'), id: Id, run_id: RunId }, { description: 'As `POST /v1/runs/{id}/stop`' }),
  resume: t.Object(
    {
      type: t.Literal('resume'),
      id: Id,
      run_id: RunId,
      after: t.Optional(
        Type.Integer({ minimum: 0, maximum: 1_000_000_000, description: 'The last `seq` the client has' }),
      ),
    },
    { description: 'As `GET /v1/runs/{id}/stream`' },
  ),
  subscribe: t.Object(
    {
      type: t.Literal('subscribe'),
      id: Id,
      since: t.Optional(
        t.String({ minLength: 1, maxLength: 400, description: 'The last `cursor`; without it only what is coming' }),
      ),
    },
    { description: "Begins the caller's change feed" },
  ),
  unsubscribe: t.Object({ type: t.Literal('unsubscribe'), id: Id }),
  ping: t.Object({ type: t.Literal('ping'), id: Id }),
}

type Client = typeof CLIENT
export type ClientFrame = { [K in keyof Client]: Static<Client[K]> }[keyof Client]

const Seq = Type.Integer({ minimum: 0, description: 'The number of the event, to resume after' })
const open = { additionalProperties: true }
/** What every client reads; the SSE stream's own description has the rest. */
const Chunk = t.Object(
  {
    choices: t.Optional(
      t.Array(
        t.Object(
          {
            index: t.Integer(),
            delta: t.Object({ content: t.Optional(t.Nullable(t.String())) }, open),
            finish_reason: t.Nullable(t.String()),
          },
          open,
        ),
      ),
    ),
    conversation_id: t.Optional(
      t.String({ description: 'On the first event of a stored answer, as the ids after it' }),
    ),
    branch_id: t.Optional(t.String()),
    message_id: t.Optional(t.String()),
    run_id: t.Optional(t.String()),
    usage: t.Optional(t.Nullable(t.Object({}, open))),
    cost_usd: t.Optional(t.Nullable(t.Number({ description: 'On the last event' }))),
    finish_reason: t.Optional(t.String({ description: 'On the last event' })),
    error: t.Optional(t.Object({ message: t.String(), code: t.String() }, open)),
  },
  { ...open, description: '`data` of the same event of the SSE stream' },
)
const Restart = t.Object({ restart: t.Object({ after: t.Integer() }) })
const MaybeId = t.Optional(t.Nullable(t.String()))

/** What the server sends, by `type`. */
const SERVER = {
  ready: t.Object({
    type: t.Literal('ready'),
    id: MaybeId,
    protocol: t.Literal(PROTOCOL),
    user: t.Object({ id: t.String(), tenant_id: t.String(), role: t.String() }),
  }),
  event: t.Object({ type: t.Literal('event'), id: MaybeId, run_id: t.String(), seq: Seq, data: Chunk }),
  restart: t.Object(
    { type: t.Literal('restart'), id: MaybeId, run_id: t.String(), seq: Seq, data: Restart },
    { description: 'Drop all text after event `data.restart.after`: it follows anew' },
  ),
  done: t.Object(
    { type: t.Literal('done'), id: MaybeId, run_id: t.String(), replayed: t.Optional(t.Boolean()) },
    { description: 'All events of the run were sent. `replayed`: the idempotency key had been used before' },
  ),
  stopped: t.Object({ type: t.Literal('stopped'), id: MaybeId, run_id: t.String(), status: t.String() }),
  subscribed: t.Object({
    type: t.Literal('subscribed'),
    id: MaybeId,
    cursor: t.String(),
    balance: t.Nullable(t.Object({}, { additionalProperties: true })),
  }),
  unsubscribed: t.Object({ type: t.Literal('unsubscribed'), id: MaybeId }),
  change: t.Object({
    type: t.Literal('change'),
    data: t.Object(
      { balance: t.Optional(t.Object({}, { additionalProperties: true })) },
      { additionalProperties: true, description: '`data` of `GET /v1/sync`; only `balance` when nothing else changed' },
    ),
  }),
  error: t.Object({
    type: t.Literal('error'),
    id: MaybeId,
    run_id: t.Optional(t.String()),
    error: t.Object({
      message: t.String(),
      code: t.String(),
      details: t.Unknown(),
      request_id: t.Nullable(t.String()),
      retry_after: t.Optional(t.Number({ description: 'Seconds' })),
    }),
  }),
  closing: t.Object(
    { type: t.Literal('closing'), code: t.Literal('server_draining'), resumable: t.Boolean() },
    { description: 'The server is about to stop: connect again, to another one, and resume' },
  ),
  pong: t.Object({ type: t.Literal('pong'), id: MaybeId }),
}

type Server = typeof SERVER
export type ServerFrame = { [K in keyof Server]: Static<Server[K]> }[keyof Server]

/** Documented and typed as they are. What comes in is checked by `parseFrame`, which says what is wrong with it. */
export const ClientFrames = t.Unsafe<ClientFrame>(Type.Any({ anyOf: Object.values(CLIENT) }))
export const ServerFrames = t.Unsafe<ServerFrame>(Type.Any({ anyOf: Object.values(SERVER) }))

/** All frames, for programs. */
export const jsonSchema = () => ({
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  title: `Frames of the WebSocket /v1/ws, ${PROTOCOL}`,
  description: 'Every frame is one JSON object in one text message.',
  $defs: {
    client: { description: 'What clients send', oneOf: Object.values(CLIENT) },
    server: { description: 'What the server sends', oneOf: Object.values(SERVER) },
  },
})

const CHECKS: ReadonlyMap<unknown, ReturnType<typeof TypeCompiler.Compile>> = new Map(
  Object.entries(CLIENT as Record<string, TObject>).map(([type, schema]) => [
    type,
    TypeCompiler.Compile(schema as TSchema),
  ]),
)

/** @throws AppError VALIDATION_ERROR naming what is wrong. */
export function parseFrame(value: unknown): ClientFrame {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new AppError('VALIDATION_ERROR', 'Send JSON objects with a `type`, one in each message')
  }
  const check = CHECKS.get((value as { type?: unknown }).type)
  if (!check) throw new AppError('VALIDATION_ERROR', `type: must be one of ${Object.keys(CLIENT).join(', ')}`)
  if (!check.Check(value)) throw validationError('frame', check.Errors(value))
  return value as ClientFrame
}

/** The request's own name in a frame that may be anything: for the error that answers it. */
export function idOf(value: unknown): string | null {
  const id = typeof value === 'object' && value !== null ? (value as { id?: unknown }).id : undefined
  return typeof id === 'string' && id.length <= 128 ? id : null
}
