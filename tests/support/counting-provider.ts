/**
 * An OpenAI-compatible provider that counts as this server does, so that charges can be told to the nano-dollar. What it does is
 * said by the last user text: `say <n>` gives n words of one token each; `after <k>` gives k of them and then nothing; `slow <n>`
 * gives one every 5 ms; `half <n>` is held in the middle, not at the beginning; `tool` calls the first tool; `fail` is a 500,
 * `broken <k>` ends in the middle after k words. It keeps to `max_tokens`, and to nothing else.
 */
import { estimated } from '../../src/llm/estimate'
import { Tokenizer } from '../../src/llm/tokenizer'

interface Body {
  model: string
  messages: { role: string; content?: string }[]
  max_tokens?: number
  max_completion_tokens?: number
  tools?: { function: { name: string } }[]
}

export interface CountingProvider {
  /** Base URL, as `http://127.0.0.1:PORT/v1`. */
  url: string
  /** What was asked, oldest first. */
  requests: Body[]
  /** Keys that it was asked with. */
  keys: (string | null)[]
  /** Answers that are being given. */
  open: () => number
  /** Answers whose reader left. */
  aborted: () => number
  /** What an answer to this text takes in tokens: of the request. */
  promptTokens: (text: string) => Promise<number>
  /** Has `hold` answers wait until they are let go. */
  hold: () => () => void
  stop: () => void
}

const WORD = ' the'
const frame = (delta: object, finish: string | null = null) =>
  `data: ${JSON.stringify({ id: 'x', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`

export function startCountingProvider(): CountingProvider {
  const tokenizer = new Tokenizer()
  const requests: Body[] = []
  const keys: (string | null)[] = []
  let open = 0
  let aborted = 0
  let held: Promise<void> | undefined
  const prompt = async (messages: Body['messages'], tools?: unknown) => {
    const request = { messages, params: tools ? { tools } : {} }
    const { usage } = await estimated({ request, delivered: { said: '', thought: '' }, model: 'gpt-4o' }, tokenizer)
    return usage.prompt_tokens
  }

  async function* answer(body: Body): AsyncGenerator<string | 'silence'> {
    const last = body.messages.at(-1)
    const text = last?.role === 'tool' ? 'say 5' : (last?.content ?? '')
    const [word = '', number = '0'] = text.split(' ')
    const wanted = Number(number)
    const limit = body.max_completion_tokens ?? body.max_tokens ?? Number.POSITIVE_INFINITY
    const count = Math.min(wanted, limit)
    if (word !== 'half') await held
    if (word === 'tool') {
      const name = body.tools?.[0]?.function.name
      const call = { index: 0, id: `call_${requests.length}`, type: 'function', function: { name, arguments: '{}' } }
      yield frame({ tool_calls: [call] }) + frame({}, 'tool_calls')
    } else {
      for (let i = 0; i < count; i++) {
        if (word === 'slow') await Bun.sleep(5)
        if (word === 'half' && i === count / 2) await held
        yield frame({ content: WORD })
      }
      if (word === 'after') return yield 'silence'
      if (word === 'broken') return
      yield frame({}, count < wanted ? 'length' : 'stop')
    }
    const completion = word === 'tool' ? 10 : count
    const prompt_tokens = await prompt(body.messages, body.tools)
    const usage = { prompt_tokens, completion_tokens: completion, total_tokens: prompt_tokens + completion }
    yield `data: ${JSON.stringify({ id: 'x', choices: [], usage })}\n\ndata: [DONE]\n\n`
  }

  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    idleTimeout: 0,
    async fetch(request) {
      if (request.method === 'GET') return Response.json({ data: [] })
      keys.push(request.headers.get('authorization'))
      const body = (await request.json()) as Body & { input?: string[] }
      requests.push(body)
      if (body.input) return Response.json(embedded(body.input))
      if (body.messages.at(-1)?.content === 'fail') return Response.json({ error: { message: 'no' } }, { status: 500 })
      open++
      const frames = answer(body)
      let over = false
      const end = (left: boolean) => {
        if (over) return
        over = true
        open--
        if (left) aborted++
      }
      request.signal.addEventListener('abort', () => end(true))
      return new Response(
        new ReadableStream({
          async pull(controller) {
            const { value, done } = await frames.next()
            if (value === 'silence')
              return new Promise<void>((resolve) => request.signal.addEventListener('abort', () => resolve()))
            if (!done) return controller.enqueue(new TextEncoder().encode(value))
            end(false)
            controller.close()
          },
          cancel: () => end(true),
        }),
        { headers: { 'content-type': 'text/event-stream' } },
      )
    },
  })
  return {
    url: `http://127.0.0.1:${server.port}/v1`,
    requests,
    keys,
    open: () => open,
    aborted: () => aborted,
    promptTokens: (text) => prompt([{ role: 'user', content: text }]),
    hold() {
      const { promise, resolve } = Promise.withResolvers<void>()
      held = promise
      return resolve
    },
    stop() {
      tokenizer.close()
      void server.stop(true)
    },
  }
}

const embedded = (input: string[]) => ({
  data: input.map((_, index) => ({ index, embedding: [0.5] })),
  usage: { prompt_tokens: input.length * 3, total_tokens: input.length * 3 },
})
