import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { Accumulator } from '../../src/lib/accumulate'
import { settled, stepDeltas, type ToolCall, takenApart } from '../../src/lib/steps'
import { toChatMessages } from '../../src/lib/tree'
import type { ChatEvent, ChatModel, ChatRequest, Usage } from '../../src/llm/port'
import type { ToolUse } from '../../src/llm/tool-answer'
import { ToolLoop } from '../../src/llm/tool-loop'
import type { Tool, ToolBox, ToolCalled } from '../../src/tools/port'

const call = (name: string, args: unknown = {}, more: object = {}): ChatEvent => ({
  type: 'delta',
  index: 0,
  delta: {
    tool_calls: [
      { index: 0, id: 'call_1', type: 'function', function: { name, arguments: JSON.stringify(args) }, ...more },
    ],
  },
})
const finish = (reason: string): ChatEvent => ({ type: 'finish', index: 0, reason })
const CALLS = finish('tool_calls')
const STOP = finish('stop')
const usage = (tokens: number, costNanos: bigint | null = 1n): ChatEvent => ({
  type: 'usage',
  usage: {
    prompt_tokens: tokens,
    completion_tokens: 1,
    total_tokens: tokens + 1,
    prompt_tokens_details: { cached_tokens: 2 },
  },
  costNanos,
})

/** A model that says these things, one list for each request. */
function model(...replies: ChatEvent[][]) {
  const requests: ChatRequest[] = []
  const answerer: ChatModel = {
    async *stream(request) {
      requests.push(structuredClone({ ...request, caller: undefined }))
      yield* replies[requests.length - 1] ?? [STOP]
    },
  }
  return { answerer, requests }
}

const tool = (name: string, more: Partial<Tool> = {}): Tool => ({
  definition: { type: 'function', function: { name, parameters: { type: 'object' } } },
  approve: false,
  timeoutMs: 1000,
  ...more,
})

class Box implements ToolBox {
  called: ToolCalled[] = []
  atOnce = 0
  private now = 0
  constructor(private readonly tools: Tool[]) {}

  list = async () => this.tools
  close = async () => {}

  async call(_: unknown, called: ToolCalled, signal: AbortSignal) {
    this.called.push(called)
    this.atOnce = Math.max(this.atOnce, ++this.now)
    try {
      if (called.name === 'hang')
        await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      if (called.name === 'deaf') await new Promise(() => {})
      if (called.name === 'pause') await Bun.sleep(10)
      return { content: `${called.name} ${JSON.stringify(called.arguments)}`, isError: called.name === 'bad' }
    } finally {
      this.now--
    }
  }
}

interface Setup {
  tools?: Tool[]
  steps?: number
  resultBytes?: number
  use?: Partial<ToolUse>
  params?: Record<string, unknown>
  messages?: ChatRequest['messages']
  signal?: AbortSignal
}

const QUESTION = { role: 'user', content: 'well?' }

function run(answerer: ChatModel, setup: Setup = {}) {
  const { tools = [tool('look'), tool('bad')], steps = 4, resultBytes = 1000, use, params = {} } = setup
  const box = new Box(tools)
  const loop = new ToolLoop(box, { steps, resultBytes })
  const looped = loop.around(answerer, { owner: { tenantId: 't', userId: 'u' }, approvals: true, ...use })
  const request = { model: 'm', messages: setup.messages ?? [QUESTION], params }
  const events = Array.fromAsync(looped.stream(request, setup.signal ?? new AbortController().signal))
  return { box, events }
}

function collected(events: ChatEvent[]) {
  const whole = new Accumulator()
  for (const event of events) whole.add(event)
  const [choice] = whole.choices()
  const { role, content, ...extra } = choice?.message ?? {}
  return { content: String(content ?? ''), extra, usage: whole.usage, reason: choice?.finishReason }
}

describe('a model with tools', () => {
  test('is offered them beside those of the client, which keep their names', async () => {
    const { answerer, requests } = model(['hi', STOP])
    const own = { type: 'function', function: { name: 'bad', parameters: {} } }
    const { events } = run(answerer, { params: { tools: [own], temperature: 1 } })
    expect(await events).toEqual(['hi', STOP])
    expect(requests[0]?.params).toEqual({ temperature: 1, tools: [own, tool('look').definition] })
  })

  test('gets the results and goes on; the reader sees calls, results and one usage', async () => {
    const { answerer, requests } = model(
      ['Let me see. ', call('look', { at: 1 }), CALLS, usage(10)],
      [call('bad'), usage(20), CALLS],
      ['It is 1.', STOP, usage(30)],
    )
    const { events, box } = run(answerer)
    const { content, extra, usage: total, reason } = collected(await events)
    expect(box.called.map(({ name }) => name)).toEqual(['look', 'bad'])
    expect([content, reason]).toEqual(['Let me see. It is 1.', 'stop'])
    const ids = ['call_1', 'call_1_2']
    const calls = [
      { id: ids[0], type: 'function', function: { name: 'look', arguments: '{"at":1}' } },
      { id: ids[1], type: 'function', function: { name: 'bad', arguments: '{}' } },
    ]
    expect(extra).toEqual({
      steps: [
        {
          content: 'Let me see. ',
          tool_calls: [calls[0]],
          tool_results: [{ tool_call_id: ids[0], name: 'look', content: 'look {"at":1}', is_error: false }],
        },
        {
          content: '',
          tool_calls: [calls[1]],
          tool_results: [{ tool_call_id: ids[1], name: 'bad', content: 'bad {}', is_error: true }],
        },
      ],
    })
    expect(total).toMatchObject({ prompt_tokens: 60, completion_tokens: 3, total_tokens: 63 } as Partial<Usage>)
    expect(total?.prompt_tokens_details).toEqual({ cached_tokens: 6 })
    expect(requests.at(-1)?.messages).toEqual([
      QUESTION,
      { role: 'assistant', content: 'Let me see. ', tool_calls: [calls[0]] },
      { role: 'tool', tool_call_id: ids[0], content: 'look {"at":1}' },
      { role: 'assistant', content: '', tool_calls: [calls[1]] },
      { role: 'tool', tool_call_id: ids[1], content: 'bad {}', is_error: true },
    ])
    const costs = (await events).flatMap((event) =>
      typeof event !== 'string' && event.type === 'usage' ? [event.costNanos] : [],
    )
    expect(costs).toEqual([1n, 2n, 3n])
  })

  test('has no known cost when that of a step is not known', async () => {
    const { answerer } = model([call('look'), CALLS, usage(1, null)], ['x', STOP, usage(1)])
    const last = (await run(answerer).events).findLast((event) => typeof event !== 'string' && event.type === 'usage')
    expect(last).toMatchObject({ costNanos: null })
  })

  test('is told of tools there are none of, of bad arguments, and asked again', async () => {
    const nonsense = call('look')
    if (typeof nonsense !== 'string' && nonsense.type === 'delta') {
      nonsense.delta = { tool_calls: [{ index: 0, id: 'x', function: { name: 'look', arguments: '{"a' } }] }
    }
    const { answerer, requests } = model([call('made_up'), CALLS], [nonsense, CALLS], ['sorry', STOP])
    const { events, box } = run(answerer)
    await events
    expect(box.called).toEqual([])
    const told = requests
      .at(-1)
      ?.messages.filter(({ role }) => role === 'tool')
      .map(({ content }) => content)
    expect(told).toEqual(['There is no such tool.', 'The arguments are not a JSON object.'])
  })

  test('is asked at most as often as the limit says, the last time for words only', async () => {
    const again = [call('look'), CALLS]
    const { answerer, requests } = model(again, again, again, again)
    const { events, box } = run(answerer, { steps: 3 })
    const { reason, extra } = collected(await events)
    expect(requests.map(({ params }) => params.tool_choice)).toEqual([undefined, undefined, 'none'])
    expect(box.called).toHaveLength(2)
    expect(reason).toBe('length')
    expect(takenApart('', extra).steps.at(-1)?.tool_results[0]?.content).toContain('limit of steps')
  })

  test('is forced to call only once', async () => {
    const { answerer, requests } = model([call('look'), CALLS], ['x', STOP])
    await run(answerer, { params: { tool_choice: 'required' } }).events
    expect(requests.map(({ params }) => params.tool_choice)).toEqual(['required', undefined])
  })

  test('gets results cut to the limit, with a note', async () => {
    const { answerer, requests } = model([call('look', { text: 'ä'.repeat(100) }), CALLS])
    await run(answerer, { resultBytes: 51 }).events
    const content = String(requests[1]?.messages.at(-1)?.content)
    expect(content).toMatch(/^look \{"text":"ä+\n\[Cut off: the result has 216 bytes, and these are the first 50\]$/)
  })

  test('has at most four calls made at once, and the results in order', async () => {
    const calls = Array.from({ length: 10 }, (_, index) => ({
      index,
      id: `c${index}`,
      function: { name: 'pause', arguments: `{"n":${index}}` },
    }))
    const { answerer, requests } = model([{ type: 'delta', index: 0, delta: { tool_calls: calls } }, CALLS])
    const { events, box } = run(answerer, { tools: [tool('pause')] })
    await events
    expect(box.atOnce).toBe(4)
    expect(requests[1]?.messages.slice(2).map(({ content }) => content)).toEqual(
      calls.map((_, n) => `pause {"n":${n}}`),
    )
  })

  test.each(['hang', 'deaf'])('is told when a tool takes too long: %s', async (name) => {
    const { answerer, requests } = model([call(name), CALLS])
    await run(answerer, { tools: [tool(name, { timeoutMs: 20 })] }).events
    expect(requests[1]?.messages.at(-1)).toMatchObject({
      content: 'The tool did not answer within 0.02 s.',
      is_error: true,
    })
  })

  test.each(['hang', 'deaf'])('is let go at once when the answer is stopped: %s', async (name) => {
    const { answerer, requests } = model([call(name), CALLS])
    const stop = new AbortController()
    const { events } = run(answerer, { tools: [tool(name)], signal: stop.signal })
    setTimeout(() => stop.abort(new Error('stopped')), 10)
    expect(events).rejects.toThrow('stopped')
    await events.catch(() => {})
    expect(requests).toHaveLength(1)
  })

  test('cut short in the middle of a call ends there', async () => {
    const { answerer } = model([call('look'), finish('length')])
    const { events, box } = run(answerer)
    expect(collected(await events).reason).toBe('length')
    expect(box.called).toEqual([])
  })

  test('is left alone when several choices are asked for, or when there are no tools', async () => {
    for (const setup of [{ params: { n: 2 } }, { tools: [] }]) {
      const { answerer, requests } = model([call('look'), CALLS])
      await run(answerer, setup).events
      expect(requests.map(({ params }) => params.tools)).toEqual([undefined])
    }
  })
})

describe('what is not for this server to call', () => {
  const params = { tools: [{ type: 'function', function: { name: 'theirs' } }] }

  test('is left to the client', async () => {
    const { answerer } = model([call('theirs'), CALLS])
    const { reason, extra } = collected(await run(answerer, { params }).events)
    expect([reason, extra]).toEqual(['tool_calls', { tool_calls: [expect.objectContaining({ id: 'call_1' })] }])
  })

  test('is left open beside the calls that are made', async () => {
    const theirs = call('theirs', {}, { index: 1, id: 'call_2' })
    const { answerer } = model([call('look'), theirs, CALLS])
    const { content, extra, reason } = collected(await run(answerer, { params }).events)
    expect(reason).toBe('tool_calls')
    expect(extra.tool_calls).toMatchObject([{ id: 'call_2' }])
    const messages = toChatMessages({ role: 'assistant', content, extra })
    expect(messages).toMatchObject([
      { role: 'assistant', tool_calls: [{ id: 'call_1' }, { id: 'call_2' }] },
      { role: 'tool', tool_call_id: 'call_1' },
    ])
    expect(messages).toHaveLength(2)
  })

  test('waits for a person where that is wanted, and is not offered to whom cannot be asked', async () => {
    const tools = [tool('look'), tool('risky', { approve: true })]
    const risky = call('risky', { n: 1 }, { index: 1, id: 'call_2' })
    const { answerer } = model([call('look'), risky, CALLS])
    const { events, box } = run(answerer, { tools })
    const { extra, reason } = collected(await events)
    expect(reason).toBe('tool_calls')
    expect(box.called.map(({ name }) => name)).toEqual(['look'])
    expect(extra.approval_required).toEqual([{ tool_call_id: 'call_2', name: 'risky', arguments: { n: 1 } }])

    const other = model()
    await run(other.answerer, { tools, use: { approvals: false } }).events
    expect(other.requests[0]?.params.tools).toEqual([tool('look').definition])
  })

  test('is called when they agree; when they do not, the model is told why', async () => {
    const tools = [tool('risky', { approve: true })]
    const open = ['a', 'b'].map(
      (id): ToolCall => ({ id, type: 'function', function: { name: 'risky', arguments: '{}' } }),
    )
    const asked = [QUESTION, { role: 'assistant', content: '', tool_calls: open }]
    const decisions = open.map((one, i) => ({ call: one, approve: i === 0, reason: 'too much' }))
    const { answerer, requests } = model(['done', STOP])
    const { events, box } = run(answerer, { tools, use: { decisions }, messages: asked })
    const { content, extra } = collected(await events)
    expect(box.called).toHaveLength(1)
    const results = [
      { role: 'tool', tool_call_id: 'a', content: 'risky {}' },
      {
        role: 'tool',
        tool_call_id: 'b',
        content: 'The user did not allow this call. They say: too much',
        is_error: true,
      },
    ]
    expect(requests[0]?.messages).toEqual([...asked, ...results])
    expect(toChatMessages({ role: 'assistant', content, extra })).toEqual([
      ...results,
      { role: 'assistant', content: 'done' },
    ])
  })
})

describe('an answer that begins anew', () => {
  test('keeps the steps that were done, and their usage', async () => {
    const { answerer } = model(
      ['One. ', call('look'), CALLS, usage(5)],
      ['Tw', call('bad', {}, { id: 'x' }), { type: 'restart' }, 'Two.', STOP, usage(7)],
    )
    const events = await run(answerer).events
    const { content, extra, usage: total } = collected(events)
    expect(content).toBe('One. Two.')
    expect(takenApart(content, extra).steps).toHaveLength(1)
    expect(total?.prompt_tokens).toBe(12)
    const after = events.slice(events.findIndex((event) => typeof event !== 'string' && event.type === 'restart') + 1)
    expect(collected(after)).toEqual(collected(events))
  })
})

describe('an answer that is stored', () => {
  const args = fc.json().map((text) => (text.startsWith('{') ? text : '{}'))
  const name = fc.constantFrom('look', 'bad', 'unknown')
  const id = fc.constantFrom('call_1', 'call_2', undefined)
  const calls = fc.array(fc.record({ name, args, id }), { minLength: 1, maxLength: 3 })
  const step = fc.record({
    text: fc.array(fc.string(), { maxLength: 3 }),
    calls,
    thought: fc.option(fc.string({ minLength: 1 })),
  })

  /** As providers send it: text, signed thoughts, calls in pieces. */
  const events = ({
    text,
    calls: list,
    thought,
  }: typeof step extends fc.Arbitrary<infer S> ? S : never): ChatEvent[] => [
    ...(thought
      ? [
          { type: 'delta', index: 0, delta: { reasoning_content: thought } } as const,
          { type: 'delta', index: 0, delta: { reasoning_details: [{ type: 'thinking', signature: 's' }] } } as const,
        ]
      : []),
    ...text,
    ...list.flatMap((one, index): ChatEvent[] => {
      const half = Math.ceil(one.args.length / 2)
      const first = {
        index,
        ...(one.id && { id: one.id + index }),
        function: { name: one.name, arguments: one.args.slice(0, half) },
      }
      const second = { index, function: { arguments: one.args.slice(half) } }
      return [first, second].map((piece) => ({ type: 'delta', index: 0, delta: { tool_calls: [piece] } }))
    }),
    CALLS,
  ]

  test('is replayed as the model saw it, also after it was read from the store', async () => {
    const script = fc.tuple(fc.array(step, { maxLength: 4 }), fc.string({ minLength: 1 }))
    await fc.assert(
      fc.asyncProperty(script, async ([steps, end]) => {
        const { answerer, requests } = model(...steps.map(events), [end, STOP])
        const said = await run(answerer, { steps: 10 }).events
        const { content, extra } = collected(said)
        const stored = { role: 'assistant', content, extra } as const
        const seen = requests.at(-1)?.messages.slice(1) ?? []
        expect(toChatMessages(stored)).toEqual([...seen, { role: 'assistant', content: end }])
        const ids = seen.flatMap(({ tool_calls }) => (tool_calls as ToolCall[] | undefined)?.map((one) => one.id) ?? [])
        expect(new Set(ids).size).toBe(ids.length)
        const parts = takenApart(content, extra)
        const again = [...stepDeltas(parts.steps), { content: parts.content, ...parts.extra }]
        expect(collected(again.map((delta) => ({ type: 'delta', index: 0, delta })))).toMatchObject({ content, extra })
      }),
    )
  })
})

describe('a conversation with open calls', () => {
  const open = (id: string, text = '{}') => ({ id, type: 'function', function: { name: 'f', arguments: text } })

  test('is settled before it goes on', () => {
    const asked = { role: 'assistant', content: '', tool_calls: [open('a'), open('b'), open('c', '{"x')] }
    const result = { role: 'tool', tool_call_id: 'b', content: 'B' }
    expect(settled([QUESTION, asked, result, QUESTION], new Set())).toEqual([
      QUESTION,
      { ...asked, tool_calls: [open('a'), open('b'), open('c')] },
      result,
      { role: 'tool', tool_call_id: 'a', content: 'This tool was not called.' },
      { role: 'tool', tool_call_id: 'c', content: 'This tool was not called.' },
      QUESTION,
    ])
    expect(settled([asked], new Set(['a', 'b', 'c']))).toEqual([asked])
  })

  test('is left as it is when all have results', () => {
    const messages = [
      { role: 'assistant', content: '', tool_calls: [open('a')] },
      { role: 'tool', tool_call_id: 'a', content: '' },
      { role: 'assistant', content: 'x' },
    ]
    expect(settled(messages, new Set())).toEqual(messages)
  })
})
