/** The AI SDK's own clients, three releases of them: what `useChat` is without React around it. */
import * as v7 from 'ai'
import * as v5 from 'ai5'
import * as v6 from 'ai6'
import { partsOf } from '../../docs/examples/ai-sdk'

export type Release = '5' | '6' | '7'
type Sdk = Pick<
  typeof v7,
  'AbstractChat' | 'DefaultChatTransport' | 'readUIMessageStream' | 'lastAssistantMessageIsCompleteWithToolCalls'
>
// What is used of them is the same in all three; only the types of other things differ.
const SDKS: Record<Release, Sdk> = { '5': v5 as unknown as Sdk, '6': v6 as unknown as Sdk, '7': v7 }
export const RELEASES = Object.keys(SDKS) as Release[]

/** What a page shows after it has read `body` to its end. Throws what its reader throws. */
export async function shownBy(release: Release, body: string): Promise<{ message: v7.UIMessage; data: unknown[] }> {
  const { DefaultChatTransport, readUIMessageStream } = SDKS[release]
  const respond = async () => new Response(body, { headers: { 'content-type': 'text/event-stream' } })
  const transport = new DefaultChatTransport({ fetch: respond as unknown as typeof fetch })
  const stream = await transport.sendMessages({
    chatId: 'chat',
    messages: [],
    trigger: 'submit-message',
    messageId: undefined,
    abortSignal: undefined,
  })
  const [chunks, copy] = stream.tee()
  let message: v7.UIMessage = { id: '', role: 'assistant', parts: [] }
  for await (const shown of readUIMessageStream({ stream: chunks, terminateOnError: true })) message = shown
  const data: unknown[] = []
  for await (const chunk of copy) if (chunk.type.startsWith('data-')) data.push(chunk)
  return { message, data }
}

export interface UiChatOptions {
  /** Where the server is, without a slash at the end. */
  origin: string
  token: string
  id?: string
  messages?: v7.UIMessage[]
  body?: object
  headers?: Record<string, string>
  /** Sends only the last message, as many apps do. */
  lastOnly?: boolean
  onData?: (part: { type: string; data: unknown }) => void
  onToolCall?: (call: { toolName: string; toolCallId: string; input: unknown }) => void
}

/** A chat page of one release, talking to a server over HTTP. */
export function uiChat(release: Release, options: UiChatOptions) {
  const { AbstractChat, DefaultChatTransport, lastAssistantMessageIsCompleteWithToolCalls } = SDKS[release]
  const { origin, token, id = crypto.randomUUID().slice(0, 16), messages = [], lastOnly, body, headers } = options
  const transport = new DefaultChatTransport({
    api: `${origin}/api/chat`,
    headers: { authorization: `Bearer ${token}`, ...headers },
    ...(body ? { body } : {}),
    ...(lastOnly
      ? {
          prepareSendMessagesRequest: ({ id, messages, trigger, messageId, body }) => ({
            body: { ...body, id, message: messages.at(-1), trigger, messageId },
          }),
        }
      : {}),
  })
  class Page extends AbstractChat<v7.UIMessage> {}
  return new Page({
    id,
    transport,
    state: newState(messages),
    sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithToolCalls,
    onData: (part) => options.onData?.(part),
    onToolCall: ({ toolCall }) => options.onToolCall?.(toolCall),
    onError: () => {},
  })
}

const newState = (messages: v7.UIMessage[]): v7.ChatState<v7.UIMessage> => ({
  status: 'ready',
  error: undefined,
  messages: [...messages],
  pushMessage(message) {
    this.messages = [...this.messages, message]
  },
  popMessage() {
    this.messages = this.messages.slice(0, -1)
  },
  replaceMessage(index, message) {
    // Readers go on writing into what they gave: a page keeps what it was at this moment.
    this.messages = this.messages.map((old, i) => (i === index ? structuredClone(message) : old))
  },
  snapshot: (value) => structuredClone(value),
})

/** The text of a message, without what an answer that began anew made void. */
export const uiText = (message: v7.UIMessage): string =>
  partsOf(message)
    .map((part) => (part.type === 'text' ? part.text : ''))
    .join('')
