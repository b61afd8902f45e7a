/** `useChat` of the AI SDK, three releases of it, without React: everything a chat page does. */
import assert from 'node:assert/strict'
import { RELEASES, type Release, type UiChatOptions, uiChat, uiText } from '../support/ui-chat'
import { checksFor } from './checks'
import type { Setup } from './server'

export interface UiTarget {
  origin: string
  token: string
  /** What the models are called that echo, speak for a second or more, call a tool, and break off. */
  models: { echo: string; slow: string; tools: string; broken: string }
}

/** What each release has to be able to do here. */
export function uiScenarios(release: Release, { origin, token, models }: UiTarget) {
  const page = (model: string, more: Partial<UiChatOptions> = {}) =>
    uiChat(release, { origin, token, body: { model }, ...more })
  const call = async (path: string, method = 'GET') => {
    const response = await fetch(origin + path, { method, headers: { authorization: `Bearer ${token}` } })
    return response.status === 204 ? undefined : response.json()
  }
  /** What is stored of the conversation: role, text, and how many alternatives there are. */
  const stored = async (conversation: string) => {
    const { data } = (await call(`/v1/conversations/${conversation}/messages`)) as { data: { items: Stored[] } }
    return data.items.map(({ content, siblings }) => [content, siblings.count])
  }
  /** A page, and the conversation that it has become. */
  const followed = (model: string, more: Partial<UiChatOptions> = {}) => {
    const ids: Record<string, string>[] = []
    const onData = (part: { type: string; data: unknown }) => {
      if (part.type === 'data-ids') ids.push(part.data as Record<string, string>)
    }
    return { chat: page(model, { onData, ...more }), conversation: () => String(ids[0]?.conversation_id) }
  }
  const texts = (chat: ReturnType<typeof page>) => chat.messages.map(uiText)

  return {
    async 'sends, goes on, edits and regenerates'() {
      const { chat, conversation } = followed(models.echo)
      await chat.sendMessage({ text: 'one two' })
      assert.deepEqual([chat.status, chat.error], ['ready', undefined])
      await chat.sendMessage({ text: 'three' })
      assert.deepEqual(texts(chat), ['one two', 'one two', 'three', 'three'])
      const [, , third, fourth] = chat.messages
      await chat.sendMessage({ text: 'drei', messageId: String(third?.id) })
      assert.deepEqual(texts(chat), ['one two', 'one two', 'drei', 'drei'])
      await chat.regenerate()
      assert.notEqual(chat.lastMessage?.id, fourth?.id)
      assert.deepEqual(await stored(conversation()), [
        ['one two', 1],
        ['one two', 1],
        ['drei', 2],
        ['drei', 2],
      ])
    },

    async 'sends only the last message'() {
      const { chat, conversation } = followed(models.echo, { lastOnly: true })
      await chat.sendMessage({ text: 'one' })
      await chat.sendMessage({ text: 'two' })
      await chat.regenerate({ messageId: String(chat.lastMessage?.id) })
      assert.deepEqual(texts(chat), ['one', 'one', 'two', 'two'])
      assert.deepEqual((await stored(conversation())).at(-1), ['two', 2])
    },

    async 'runs a tool in the page and gets the answer in the same message'() {
      const calls: unknown[] = []
      const { chat, conversation } = followed(models.tools, {
        onToolCall({ toolName, toolCallId, input }) {
          calls.push(input)
          // Not awaited: a page may not wait here for what waits for this call to return.
          void chat.addToolOutput({ tool: toolName, toolCallId, output: 'sunny' })
        },
      })
      await chat.sendMessage({ text: '{"city":"Oslo"}' })
      await until(() => chat.status === 'ready' && uiText(chat.messages.at(-1) ?? none).length > 0)
      assert.deepEqual(calls, [{ city: 'Oslo' }])
      assert.equal(chat.messages.length, 2)
      assert.equal(uiText(chat.messages[1] ?? none), 'The tool said: sunny')
      assert.equal((await stored(conversation())).length, 4)
    },

    async 'takes up an answer after a reload, and finds nothing later'() {
      const { chat } = followed(models.slow)
      const sending = chat.sendMessage({ text: 'go' })
      await until(() => chat.messages.length === 2 && uiText(chat.messages[1] ?? none).length > 0)
      const [question] = chat.messages
      const reloaded = page(models.slow, { id: chat.id, messages: question ? [question] : [] })
      const resuming = reloaded.resumeStream()
      await Promise.all([sending, resuming])
      assert.equal(texts(reloaded)[1], texts(chat)[1])
      assert.equal(reloaded.lastMessage?.id, chat.lastMessage?.id)
      assert.match(texts(reloaded)[1] ?? '', /^t1 t2 .*t\d+$/)
      await reloaded.resumeStream()
      assert.deepEqual([reloaded.messages.length, reloaded.status], [2, 'ready'])
    },

    async 'stops an answer on the server, and goes on after it'() {
      const { chat, conversation } = followed(models.slow)
      const sending = chat.sendMessage({ text: 'go' })
      await until(() => uiText(chat.messages[1] ?? none).length > 0)
      assert.deepEqual(await call(`/api/chat/${chat.id}/stop`, 'POST'), { stopped: true })
      await sending
      assert.deepEqual([chat.status, chat.error], ['ready', undefined])
      assert.deepEqual(await call(`/api/chat/${chat.id}/stop`, 'POST'), { stopped: false })
      const [, answer] = await stored(conversation())
      assert.equal(answer?.[0], texts(chat)[1])
    },

    async 'hangs up on an answer and goes on: the one left behind ends where the page moved on'() {
      const { chat, conversation } = followed(models.slow)
      const sending = chat.sendMessage({ text: 'go' })
      await until(() => uiText(chat.messages[1] ?? none).length > 0)
      await chat.stop()
      await sending
      await chat.sendMessage({ text: 'on' }, { body: { model: models.echo } })
      assert.deepEqual([chat.status, texts(chat).at(-1)], ['ready', 'on'])
      assert.equal((await stored(conversation())).length, 4)
      assert.equal(await call(`/api/chat/${chat.id}/stream`), undefined)
    },

    async 'shows a failure as one sentence, before and in the stream'() {
      const stranger = page(models.echo, { token: 'sk-not-a-key' })
      await stranger.sendMessage({ text: 'hi' })
      assert.match(stranger.error?.message ?? '', /^\w[^{}]+$/)
      const broken = page(models.broken)
      await broken.sendMessage({ text: 'hi' })
      assert.equal(broken.status, 'error')
      assert.match(broken.error?.message ?? '', /^\w[^{}]+$/)
      assert.equal(texts(broken)[1], 't1 t2 t3')
      await broken.regenerate({ body: { model: models.echo } })
      assert.deepEqual(texts(broken), ['hi', 'hi'])
    },

    async 'reads every level up to its own'() {
      for (const level of RELEASES.filter((each) => each <= release)) {
        const chat = page(models.echo, { headers: { 'ui-stream': level } })
        await chat.sendMessage({ text: 'one two' })
        assert.deepEqual([level, chat.status, texts(chat)[1]], [level, 'ready', 'one two'])
      }
    },
  }
}

interface Stored {
  content: string
  siblings: { count: number }
}

const none = { id: '', role: 'assistant' as const, parts: [] }

async function until(ready: () => boolean, ms = 10_000): Promise<void> {
  const deadline = Date.now() + ms
  while (!ready()) {
    if (Date.now() > deadline) throw new Error(`not within ${ms} ms: ${ready}`)
    await Bun.sleep(10)
  }
}

const MODELS = { echo: 'echo', slow: 'brief-50', tools: 'tools' }

export async function aiSdkUiSuite({ target, proxyOnly }: Setup): Promise<void> {
  for (const release of RELEASES) {
    const { check } = checksFor(`useChat of ai ${release}`, proxyOnly)
    const scenarios = uiScenarios(release, {
      origin: target.origin,
      token: target.apiKey,
      models: { ...MODELS, broken: `broken-${release}` },
    })
    for (const [name, run] of Object.entries(scenarios)) await check(name, run)
  }
}
