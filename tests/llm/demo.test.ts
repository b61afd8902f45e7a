import { expect, test } from 'bun:test'
import { DEMO_MODEL, demoModel } from '../../src/llm/demo'
import type { ChatEvent, ChatMessage } from '../../src/llm/port'

const demo = demoModel({ pace: 0 })
const never = () => new AbortController().signal

const events = (messages: ChatMessage[], { params = {}, signal = never() } = {}): Promise<ChatEvent[]> =>
  Array.fromAsync(demo.stream({ model: DEMO_MODEL, messages, params }, signal))
const reply = async (...said: unknown[]) =>
  (await events(said.map((content) => ({ role: 'user', content })))).filter((e) => typeof e === 'string').join('')

test.each([
  ['Hello', /^Hello! I am demo\/eliza/],
  ['My name is Ada', /Ada/],
  ['What are you?', /LITELLM_URL or OPENAI_API_KEY/],
  ['I feel lost in my code', /lost in your code/],
  ['Привет, как дела', /demo\/eliza/],
  ['Is it so?', /./],
  ['xyzzy', /You said "xyzzy"/],
  ['', /I am listening/],
  ['I feel $1 $& $`', /Why do you feel \$1 \$& \$`\?/],
])('has something to say to %p', async (said, answer) => {
  expect(await reply(said)).toMatch(answer)
})

test('varies its answers as the conversation goes on, and says the same to the same conversation', async () => {
  expect(await reply('Hello', 'Hello')).not.toBe(await reply('Hello'))
  expect(await reply('Hello', 'Hello')).toBe(await reply('Hello', 'Hello'))
})

test('reads the text parts of a message', async () => {
  expect(await reply([{ type: 'image_url' }, { type: 'text', text: 'My name is Ada' }])).toContain('Ada')
})

test('ends with why it stopped and with usage in words', async () => {
  const all = await events([{ role: 'user', content: 'one two three' }])
  const said = all.filter((event) => typeof event === 'string').length
  expect(all.slice(-2)).toEqual([
    { type: 'finish', index: 0, reason: 'stop' },
    { type: 'usage', usage: { prompt_tokens: 3, completion_tokens: said, total_tokens: 3 + said } },
  ])
})

test.each(['max_tokens', 'max_completion_tokens'])('keeps to %s', async (param) => {
  const all = await events([{ role: 'user', content: 'Hello' }], { params: { [param]: 2 } })
  expect(all.filter((event) => typeof event === 'string').join('')).toBe('Hello! I')
  expect(all).toContainEqual({ type: 'finish', index: 0, reason: 'length' })
})

test('has one model, and says that there is no other', async () => {
  expect(await demo.models(never())).toMatchObject([{ id: DEMO_MODEL, ownedBy: 'demo', created: 0 }])
  expect(demo.listsAll).toBe(true)
})

test('falls silent when it is stopped', async () => {
  const abort = new AbortController()
  const said: ChatEvent[] = []
  const listening = (async () => {
    const messages = [{ role: 'user', content: 'What are you?' }]
    for await (const event of demo.stream({ model: DEMO_MODEL, messages, params: {} }, abort.signal)) {
      said.push(event)
      if (said.length === 3) abort.abort()
    }
  })()
  expect(listening).rejects.toMatchObject({ name: 'AbortError' })
  await listening.catch(() => {})
  expect(said).toHaveLength(3)
  expect(events([], { signal: AbortSignal.abort() })).rejects.toMatchObject({ name: 'AbortError' })
})

test('survives a very long message in a moment', async () => {
  expect((await reply(`I feel ${'very '.repeat(200_000)}`)).length).toBeLessThan(1000)
})

test('costs nothing', () => {
  expect(demo.cost({ prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 })).toBe(0n)
})
