import { keyOf, type Mark, type Prompt, promptIn, wordOf } from './marks'

export interface MarkingProvider {
  /** Base URL, as `http://127.0.0.1:PORT/v1`. */
  url: string
  /** Calls of the model, by the mark of the prompt. */
  calls: Map<string, number>
  /** What it must never have been asked: contexts with words of others. */
  faults: string[]
  open: () => number
  stop: () => Promise<void>
}

interface Body {
  messages: { role: string; content: string }[]
}

/** An OpenAI-compatible provider that answers each prompt with its mark, word by word, and counts how often it is asked. */
export function startMarkingProvider(): MarkingProvider {
  const calls = new Map<string, number>()
  const faults: string[] = []
  let open = 0
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    idleTimeout: 0,
    async fetch(request) {
      if (request.method === 'GET') return Response.json({ data: [{ id: 'gpt-4o-a', object: 'model' }] })
      const { messages } = (await request.json()) as Body
      const prompt = promptIn(messages.at(-1)?.content ?? '')
      if (!prompt) return Response.json({ error: { message: 'No mark in the prompt' } }, { status: 400 })
      faults.push(...strangers(messages, prompt))
      calls.set(keyOf(prompt), (calls.get(keyOf(prompt)) ?? 0) + 1)
      const frames = answer(prompt, messages)
      open++
      let over = false
      const end = () => {
        if (!over) open--
        over = true
      }
      request.signal.addEventListener('abort', end)
      const body = new ReadableStream({
        async pull(controller) {
          const { value, done } = over ? { value: undefined, done: true } : await frames.next()
          if (!done) return controller.enqueue(new TextEncoder().encode(value))
          end()
          controller.close()
        },
        cancel: end,
      })
      return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
    },
  })
  return {
    url: `http://127.0.0.1:${server.port}/v1`,
    calls,
    faults,
    open: () => open,
    stop: () => server.stop(true),
  }
}

/** Words of other people or conversations in what a model is given to read. */
function strangers(messages: Body['messages'], { client, conversation }: Mark): string[] {
  const own = `[c${client}k${conversation}t`
  const found = messages.flatMap(({ content }) => content.match(/\[c\d+k\d+t/g) ?? [])
  const others = found.filter((mark) => mark !== own)
  return others.length > 0 ? [`The model was shown ${others[0]} in the conversation ${own}`] : []
}

/** Words that are to come without a pause travel together, as from a fast model. */
const TOGETHER = 100

async function* answer(prompt: Prompt, messages: Body['messages']): AsyncGenerator<string> {
  const { words, pause } = prompt
  for (let i = 0; i < words; ) {
    if (pause > 0) await Bun.sleep(pause)
    const until = pause > 0 ? i + 1 : Math.min(words, i + TOGETHER)
    let frames = ''
    for (; i < until; i++) frames += frame({ content: wordOf(prompt, i) })
    yield frames
  }
  yield frame({}, 'stop')
  const prompt_tokens = messages.length * 10
  const usage = { prompt_tokens, completion_tokens: words, total_tokens: prompt_tokens + words }
  yield `data: ${JSON.stringify({ id: 'x', choices: [], usage })}\n\ndata: [DONE]\n\n`
}

const frame = (delta: object, finish: string | null = null) =>
  `data: ${JSON.stringify({ id: 'x', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`
