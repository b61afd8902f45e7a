/** LangChain's client for OpenAI, by either of its APIs. */
import assert from 'node:assert/strict'
import { HumanMessage, ToolMessage } from '@langchain/core/messages'
import { ChatOpenAI } from '@langchain/openai'
import { checksFor } from './checks'
import type { Setup } from './server'

const TOOL = {
  type: 'function' as const,
  function: { name: 'get_weather', description: 'The weather', parameters: { type: 'object', properties: {} } },
}

export async function langchainSuite({ target }: Setup): Promise<void> {
  for (const useResponsesApi of [false, true]) await suite(target, useResponsesApi)
}

async function suite({ baseURL, apiKey }: Setup['target'], useResponsesApi: boolean): Promise<void> {
  const { check } = checksFor(useResponsesApi ? 'langchain responses' : 'langchain', false)
  const chat = (model: string) =>
    new ChatOpenAI({ model, apiKey, configuration: { baseURL }, useResponsesApi, maxRetries: 0, timeout: 15_000 })

  await check('answers in one piece, with usage', async () => {
    const answer = await chat('echo').invoke('one two three')
    assert.equal(answer.text, 'one two three')
    assert.equal((answer.usage_metadata as { output_tokens?: number } | undefined)?.output_tokens, 3)
  })
  await check('streams', async () => {
    const pieces: string[] = []
    for await (const chunk of await chat('echo').stream('one two three')) pieces.push(chunk.text)
    assert.equal(pieces.join(''), 'one two three')
    assert.ok(pieces.filter(Boolean).length > 1, 'in more than one piece')
  })
  await check('calls a tool and is told its result', async () => {
    const asked = new HumanMessage('Well?')
    const model = chat('tools').bindTools([TOOL])
    const answer = await model.invoke([asked])
    const [call] = answer.tool_calls ?? []
    assert.deepEqual([call?.name, call?.args], ['get_weather', { city: 'Paris' }])
    const result = new ToolMessage({ content: 'rain', tool_call_id: call?.id ?? '' })
    const then = await model.invoke([asked, answer, result])
    assert.equal(then.text, 'The tool said: rain')
  })
}
