import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { loadConfig } from '../../src/config'
import { azureOpenAi } from '../../src/llm/azure'
import { openAiCompatible, services } from '../../src/llm/openai-compatible'
import type { ChatRequest, Provider } from '../../src/llm/port'
import { quirksOf, WELL_KNOWN } from '../../src/llm/providers'
import { chatBody } from '../../src/llm/quirks'

const timeouts = { connect: 5000, firstToken: 5000, idle: 5000, total: 5000 }
const asked: { url: string; headers: Record<string, string>; body: Record<string, unknown> }[] = []
let server: ReturnType<typeof Bun.serve>
let url: string

beforeAll(() => {
  server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    async fetch(request) {
      const { pathname, search } = new URL(request.url)
      asked.push({ url: pathname + search, headers: request.headers.toJSON(), body: await request.json() })
      const headers = { 'content-type': 'text/event-stream' }
      return new Response('data: {"choices":[{"delta":{"content":"hi"}}]}\n\ndata: [DONE]\n\n', { headers })
    },
  })
  url = `http://127.0.0.1:${server.port}`
})
afterAll(() => server.stop(true))

async function ask(provider: Provider, params: object = {}) {
  const request = { model: 'gpt-4o', messages: [{ role: 'user', content: 'x' }], params: { ...params } }
  for await (const _ of provider.stream(request, new AbortController().signal));
  return asked.at(-1)
}

describe('Azure OpenAI', () => {
  const azure = (apiVersion?: string) =>
    azureOpenAi({ endpoint: `${url}/`, apiKey: 'azure-key', deployments: ['gpt-4o'], apiVersion, timeouts })

  test('is asked at its v1 surface, or at the deployment when a version is given', async () => {
    expect((await ask(azure()))?.url).toBe('/openai/v1/chat/completions')
    expect((await ask(azure('2024-10-21')))?.url).toBe(
      '/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21',
    )
  })

  test('is given the key in its own header, and the deployment as the model', async () => {
    const { headers, body } = (await ask(azure())) ?? {}
    expect(headers).toMatchObject({ 'api-key': 'azure-key' })
    expect(headers).not.toHaveProperty('authorization')
    expect(body).toMatchObject({ model: 'gpt-4o', stream: true, stream_options: { include_usage: true } })
  })

  test('has the deployments that were told, and no others', async () => {
    expect(azure().listsAll).toBe(true)
    expect(await azure().models(AbortSignal.timeout(100))).toEqual([{ id: 'gpt-4o', ownedBy: 'azure', created: 0 }])
  })
})

describe('what a service refuses', () => {
  const cache_control = { type: 'ephemeral' }
  const request: ChatRequest = {
    model: 'm',
    messages: [
      { role: 'user', content: [{ type: 'text', text: 'a', cache_control }] },
      {
        role: 'assistant',
        content: 'b',
        reasoning_content: 'x',
        reasoning_details: [{ type: 'thinking', signature: 's' }],
      },
      { role: 'tool', tool_call_id: 'c', content: 'd', is_error: true },
    ],
    params: {
      thinking: { type: 'adaptive' },
      top_k: 3,
      max_tokens: 9,
      seed: 1,
      tools: [{ type: 'function', cache_control }],
    },
  }

  test('is not sent to it', () => {
    expect(chatBody(request, quirksOf('https://api.openai.com/v1'))).toEqual({
      model: 'm',
      messages: [
        { role: 'user', content: [{ type: 'text', text: 'a' }] },
        { role: 'assistant', content: 'b' },
        { role: 'tool', tool_call_id: 'c', content: 'd' },
      ],
      seed: 1,
      max_completion_tokens: 9,
      tools: [{ type: 'function' }],
      stream: true,
      stream_options: { include_usage: true },
    })
    const mistral = chatBody(
      { ...request, params: { max_completion_tokens: 9 } },
      quirksOf('https://api.mistral.ai/v1'),
    )
    expect(mistral).toMatchObject({ max_tokens: 9 })
    expect(mistral).not.toHaveProperty('max_completion_tokens')
    expect(mistral).not.toHaveProperty('stream_options')
  })

  test('is sent to others, but for signed thoughts, which are another model’s', () => {
    const body = chatBody(request, quirksOf('http://litellm:4000'))
    expect(body).toMatchObject({ ...request.params, stream: true })
    expect(body.messages).toEqual([request.messages[0], { role: 'assistant', content: 'b' }, request.messages[2]])
    const unsigned = { role: 'assistant', content: 'b', reasoning_content: 'x' }
    expect(chatBody({ ...request, messages: [unsigned] }, {}).messages).toEqual([unsigned])
  })
})

describe('the table of services', () => {
  test('has each name and address once', () => {
    for (const key of ['name', 'baseUrl'] as const) {
      const values = WELL_KNOWN.map((service) => service[key])
      expect(new Set(values).size).toBe(values.length)
    }
  })

  test('names the variables that the settings read, which make them providers', () => {
    const names = WELL_KNOWN.flatMap(({ key }) => (key && key !== 'OPENAI_API_KEY' ? [key] : []))
    const env = Object.fromEntries(names.map((name) => [name, 'a key']))
    const { serviceKeys } = loadConfig({ JWT_SECRET_KEY: 'x'.repeat(32), ...env }).llm
    expect(serviceKeys).toEqual(env)
    expect(services({ GROQ_API_KEY: 'k' }, timeouts).map(({ name }) => name)).toEqual(['groq'])
    expect(services(serviceKeys, timeouts).length).toBe(names.length)
  })

  test('is looked up by address, so a base URL of one’s own has its quirks, too', async () => {
    expect(quirksOf('https://api.mistral.ai/v1/')).toMatchObject({ noStreamOptions: true })
    expect(quirksOf('not a URL')).toEqual({})
    const own = openAiCompatible({
      name: 'own',
      baseUrl: url,
      apiKey: 'k',
      timeouts,
      quirks: { noStreamOptions: true },
    })
    expect((await ask(own, { max_tokens: 3 }))?.body).toEqual({
      model: 'gpt-4o',
      messages: [{ role: 'user', content: 'x' }],
      max_tokens: 3,
      stream: true,
    })
  })
})
