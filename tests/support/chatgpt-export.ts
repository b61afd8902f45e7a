/** Words enough that texts differ, from a counter: the same export comes every time. */
const WORDS = Array.from({ length: 4000 }, (_, i) => {
  const syllable = (n: number) => 'ba ce di fo gu ka le mi no pu ra se ti vo zu'.split(' ')[Math.floor(n) % 15]
  return `${syllable(i)}${syllable(i / 15)}${syllable(i / 225)}${i % 3 === 0 ? 'ing' : ''}`
})

function* numbers(): Generator<number> {
  for (let state = 1; ; ) {
    state = (state * 48271) % 2147483647
    yield state
  }
}

const text = (random: Iterator<number, never>, words: number) =>
  Array.from({ length: words }, () => WORDS[random.next().value % WORDS.length]).join(' ')

/** One conversation of a `conversations.json` of ChatGPT: twenty messages below each other, about 25 kB. */
function conversation(random: Iterator<number, never>, number: number) {
  const id = (i: number) => `node-${number}-${i}`
  const nodes = Array.from({ length: 20 }, (_, i) => {
    const isQuestion = i % 2 === 0
    const message = {
      id: id(i),
      author: { role: isQuestion ? 'user' : 'assistant', name: null, metadata: {} },
      create_time: 1_700_000_000 + number * 100 + i,
      update_time: null,
      content: { content_type: 'text', parts: [text(random, isQuestion ? 40 : 220)] },
      status: 'finished_successfully',
      end_turn: true,
      weight: 1,
      metadata: { model_slug: 'gpt-4o', request_id: `request-${number}-${i}`, message_type: 'next' },
      recipient: 'all',
    }
    return [id(i), { id: id(i), message, parent: i > 0 ? id(i - 1) : null, children: i < 19 ? [id(i + 1)] : [] }]
  })
  return {
    title: `Conversation ${number}`,
    create_time: 1_700_000_000 + number * 100,
    update_time: 1_700_000_050 + number * 100,
    mapping: Object.fromEntries(nodes),
    current_node: id(19),
    conversation_id: `conversation-${number}`,
  }
}

export interface MadeExport {
  stream: ReadableStream<Uint8Array>
  /** What went out so far. */
  made: { bytes: number; conversations: number }
}

/** A `conversations.json` of at least so many bytes, made while it is read. */
export function chatGptExport(bytes: number): MadeExport {
  const made = { bytes: 0, conversations: 0 }
  const random = numbers() as Iterator<number, never>
  const stream = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        const isLast = made.bytes >= bytes
        const piece = Buffer.from(
          isLast
            ? ']'
            : (made.conversations === 0 ? '[' : ',') + JSON.stringify(conversation(random, made.conversations++)),
        )
        made.bytes += piece.length
        controller.enqueue(piece)
        if (isLast) controller.close()
      },
    },
    { highWaterMark: 1 },
  )
  return { stream, made }
}
