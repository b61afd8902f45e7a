/** Function calling with the official OpenAI SDK for JavaScript. */
import assert from 'node:assert/strict'
import type OpenAI from 'openai'
import { checksFor } from './checks'
import { asks } from './openai-js'
import type { Setup } from './server'

const declare = (name: string): OpenAI.ChatCompletionFunctionTool => ({
  type: 'function',
  function: {
    name,
    parameters: {
      type: 'object',
      properties: { city: { type: 'string' } },
      required: ['city'],
    },
  },
})
const TOOLS = [declare('get_weather'), declare('get_time')]
const ANSWER = 'The tool said: sunny in Paris'

export async function openAiTools(client: OpenAI, { provider, proxyOnly }: Setup): Promise<void> {
  const { check } = checksFor('openai-js tools', proxyOnly)
  const complete = client.chat.completions

  await check('calls a tool in one piece', async () => {
    const answer = await complete.create({
      model: 'tools',
      messages: asks('weather?'),
      tools: TOOLS,
    })
    const [call] = answer.choices[0]?.message.tool_calls ?? []
    assert.equal(answer.choices[0]?.finish_reason, 'tool_calls')
    assert.ok(call?.type === 'function' && call.id)
    assert.equal(call.function.name, 'get_weather')
    assert.deepEqual(JSON.parse(call.function.arguments), { city: 'Paris' })
    assert.deepEqual(
      provider.requests.at(-1)?.body?.tools?.map((tool) => tool.function.name),
      ['get_weather', 'get_time'],
    )
  })
  await check('streams two calls, put together by the helper', async () => {
    const body = {
      model: 'two-tools',
      messages: asks('{"city":"Oslo"}'),
      tools: TOOLS,
    }
    const message = await complete.stream(body).finalMessage()
    const calls = message.tool_calls?.map((call) => (call.type === 'function' ? call.function : undefined))
    assert.deepEqual(
      calls?.map((call) => call?.name),
      ['get_weather', 'get_time'],
    )
    assert.deepEqual(
      calls?.map((call) => JSON.parse(call?.arguments ?? '')),
      [{ city: 'Oslo' }, { city: 'Oslo' }],
    )
  })
  await check('answers after a tool result', async () => {
    const tool_calls = [
      {
        id: 'call_1',
        type: 'function' as const,
        function: { name: 'get_weather', arguments: '{}' },
      },
    ]
    const answer = await complete.create({
      model: 'tools',
      messages: [
        ...asks('weather?'),
        { role: 'assistant', content: null, tool_calls },
        { role: 'tool', tool_call_id: 'call_1', content: 'sunny in Paris' },
      ],
      tools: TOOLS,
    })
    assert.equal(answer.choices[0]?.message.content, ANSWER)
    const sent = provider.requests.at(-1)?.body?.messages ?? []
    assert.deepEqual(sent[1]?.tool_calls, tool_calls)
    assert.equal(sent[2]?.tool_call_id, 'call_1')
  })
  const runnable = {
    type: 'function' as const,
    function: {
      name: 'get_weather',
      description: 'The weather of a city',
      parameters: { type: 'object', properties: { city: { type: 'string' } } },
      parse: (json: string) => JSON.parse(json) as { city: string },
      function: ({ city }: { city: string }) => `sunny in ${city}`,
    },
  }
  await check('runs tools in a loop', async () => {
    const runner = complete.runTools({
      model: 'tools',
      messages: asks('weather?'),
      tools: [runnable],
    })
    assert.equal(await runner.finalContent(), ANSWER)
  })
  await check('runs tools in a loop of streams', async () => {
    const runner = complete.runTools({
      model: 'tools',
      messages: asks('weather?'),
      tools: [runnable],
      stream: true,
    })
    assert.equal(await runner.finalContent(), ANSWER)
    assert.equal(await runner.finalFunctionToolCallResult(), 'sunny in Paris')
  })
}
