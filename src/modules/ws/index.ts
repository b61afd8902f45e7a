import { Elysia } from 'elysia'
import { headerOf } from '../../dialects/answer'
import { nativeEvents, restartFrame } from '../../dialects/native'
import { credentialOf } from '../../plugins/auth'
import { describe } from '../../plugins/docs'
import { checkOrigin, offerOf, oneOf, refuseTokenInUrl } from './entrance'
import { ClientFrames, jsonSchema, ServerFrames } from './model'
import type { Pipe } from './outgoing'
import type { Entrant, Sockets } from './service'
import type { Socket } from './socket'
import type { Encoder } from './streams'

export interface SocketOptions {
  /** Pages that may connect; `*`: all. */
  origins: string[]
}

/** Chatting over a WebSocket. Anybody may knock: whoever brings no token signs in with the first message. */
export const sockets = (sockets: Sockets, { origins }: SocketOptions) => {
  const open = new Map<string, Socket>()
  const route = {
    body: ClientFrames,
    response: ServerFrames,
    open({ id, data, raw }: Opened) {
      open.set(id, sockets.connect(raw as Pipe, data.entrant, encoder))
    },
    message({ id }: Known, message: unknown) {
      void open.get(id)?.receive(message)
    },
    drain({ id }: Known) {
      open.get(id)?.drained()
    },
    close({ id }: Known) {
      open.get(id)?.ended()
      open.delete(id)
    },
  }
  const doors = new Elysia({ name: 'ws-doors' })
    .derive(async ({ headers, query, set }) => {
      refuseTokenInUrl(query)
      checkOrigin(headers, origins)
      const { token, protocol } = offerOf(headers)
      // Otherwise Bun would answer with the first one offered, which may be the token.
      if (protocol) set.headers['sec-websocket-protocol'] = protocol
      const credential = oneOf(credentialOf(headers), token)
      return { entrant: await sockets.enter(credential, String(set.headers['x-request-id'])) }
    })
    .ws('/v1/ws', route)
    .ws('/ws', route)
  return new Elysia({ name: 'ws' }).use(doors).get('/v1/ws/schema.json', () => schema, {
    detail: describe({
      summary: 'Frames of the WebSocket',
      description: SOCKET,
      tag: 'Chat',
      example: schemaExample,
      open: true,
    }),
  })
}

const schema = jsonSchema()
const schemaExample = { $schema: schema.$schema, title: schema.title, $defs: { client: {}, server: {} } }

/** What Elysia hands over of a connection. It makes a new such object for every event; `id` stays. */
interface Known {
  id: string
}

interface Opened extends Known {
  data: { entrant: Entrant }
  /** Bun's own; the type that Elysia has for it knows half of its methods. */
  raw: unknown
}

/** The same chunks as in the stream of `POST /v1/chat/completions`, each around once with what a socket needs to tell them apart. */
const encoder: Encoder = (run, id) => {
  const names = `"id":${JSON.stringify(id)},"run_id":${JSON.stringify(run.id)}`
  const frame = (data: string, seq?: number, event: 'event' | 'restart' = 'event') =>
    `{"type":"${event}",${names},"seq":${seq ?? 0},"data":${data}}`
  return { event: nativeEvents(headerOf({ run }), { frame, end: '' }), restart: () => restartFrame(0, 0, frame) }
}

const SOCKET = `JSON Schema of what goes over \`wss://…/v1/ws\` (also \`/ws\`), one JSON object in each text message: many conversations over one connection, with \`chat\`, \`stop\`, \`resume\`, \`subscribe\` (the caller's change feed) and \`ping\`.

Sign in with \`Authorization\` or \`x-api-key\`, with the subprotocols \`chat.v1\` and \`bearer.<token>\`, or with a first message \`{"type":"auth","token":"…"}\` within 10 s; never in the address. The events of an answer are the objects of the native stream of \`POST /v1/chat/completions\`, as \`data\` of frames that name request, run and number.`
