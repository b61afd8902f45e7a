/** How an upload is cut into conversations, whatever pieces it comes in. */
import { describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { AppError } from '../../src/errors'
import { conversationsOf, recognise } from '../../src/modules/imports/formats'
import { MAX_CONVERSATION, Source } from '../../src/modules/imports/source'

const fixture = (name: string) => readFileSync(join(import.meta.dir, '../fixtures/imports', `${name}.json`), 'utf8')
const FORMATS = ['chatgpt', 'claude', 'open-webui', 'librechat', 'assistant-ui', 'own', 'openai']

async function* arriving(pieces: Iterable<Uint8Array>) {
  yield* pieces
}

async function read(pieces: Iterable<Uint8Array>, type = 'application/json', maxBytes = 1e9) {
  const request = { body: arriving(pieces), signal: new AbortController().signal }
  const source = new Source({ request, headers: { 'content-type': type } }, maxBytes)
  const found: unknown[] = []
  let error: string | undefined
  try {
    for await (const one of source.found()) found.push(one.problem ?? one.read?.() ?? null)
  } catch (thrown) {
    error = thrown instanceof AppError ? `${thrown.code} ${thrown.message}` : String(thrown)
  }
  return { found, known: source.known, problem: source.problem?.code, error }
}
const readText = (text: string, type?: string) => read([Buffer.from(text)], type)
const LINES = 'application/x-ndjson'

/** Cut once, everywhere it can be, and into single bytes. */
function* cuts(text: string): Generator<Uint8Array[]> {
  const bytes = Buffer.from(text)
  for (let at = 0; at <= bytes.length; at++) yield [bytes.subarray(0, at), bytes.subarray(at)]
  yield Array.from(bytes, (byte) => Uint8Array.of(byte))
}

async function expectSame(text: string, expected: unknown[], type?: string) {
  for (const pieces of cuts(text)) {
    const { found, known, error } = await read(pieces, type)
    expect({ found, known, error }).toEqual({ found: expected, known: true, error: undefined })
  }
}

const say = (content: string) => ({ messages: [{ role: 'user', content }] })
const saysOf = ({ found }: { found: unknown[] }) =>
  found.map(
    (one) => (one as { messages?: { content: string }[] } | null)?.messages?.map(({ content }) => content) ?? one,
  )

describe('an upload cut anywhere is read as it is at once', () => {
  test.each(FORMATS)('in the format of %s', async (name) => {
    const text = JSON.stringify(JSON.parse(fixture(name)))
    const whole: unknown = JSON.parse(text)
    // A list of messages is one conversation, any other a list of them.
    const given = name === 'openai' ? [whole] : conversationsOf(whole).flat()
    const expected = given.map((one) => recognise(one)?.())
    expect(expected.every(Boolean)).toBe(true)
    await expectSame(text, expected)
    const lines = given.map((one) => JSON.stringify(one)).join('\r\n\n')
    await expectSame(lines, expected, LINES)
  })

  test('with words, escapes and characters that look like something else', async () => {
    const tricky = [
      '"}],{[\\',
      '\\"conversations\\": [',
      'ends with \\\\',
      'чай ☕ 🫖 \u2028\ud83d',
      '\u0000',
      ',"conversations":[{"x":1}],',
    ]
    const expected = tricky.map((content) => recognise(say(content.replace('\0', '\uFFFD').toWellFormed()))?.())
    const list = tricky.map((content) => JSON.stringify(say(content)))
    await expectSame(`\uFEFF [ ${list.join(' ,\n')}\n]\n`, expected)
    await expectSame(
      `{"note":"x \\"conversations\\":[","conversations" : [${list}], "more": {"conversations":[7]}}`,
      expected,
    )
    await expectSame(`\uFEFF${list.join('\n')}`, expected, LINES)
  })
})

describe('a document', () => {
  test('may be a list of messages, until something else is among them', async () => {
    const messages = ['a', 'b', 'c'].map((content) => ({ role: 'user', content }))
    expect(saysOf(await readText(JSON.stringify(messages)))).toEqual([['a', 'b', 'c']])
    expect(saysOf(await readText(JSON.stringify([...messages, say('d')])))).toEqual([null, null, null, ['d']])
    expect(saysOf(await readText(JSON.stringify([[...messages], say('d')])))).toEqual([['a', 'b', 'c'], ['d']])
    expect(saysOf(await readText(JSON.stringify({ conversations: messages })))).toEqual([null, null, null])
  })

  test('of ours may be empty, or stand in a list', async () => {
    const empty = '{"format":"ai-chat-orchestrator","conversations":[]}'
    expect(await readText(empty)).toMatchObject({ found: [], known: true, error: undefined })
    expect(await readText('{"conversations":[]}')).toMatchObject({ found: [], known: false })
    const both = JSON.stringify([{ conversations: [say('a'), say('b')] }, say('c')])
    expect(saysOf(await readText(both))).toEqual([['a'], ['b'], ['c']])
  })

  const good = JSON.stringify(say('good'))
  test.each([
    ['ends in a conversation', `[${good},{"messages":[{"role`, [['good']], /ends too early/],
    [
      'ends in a string',
      `[${good},{"messages":[{"role":"user","content":"and so on, and so`,
      [['good']],
      /ends too early/,
    ],
    ['ends after a comma', `[${good},`, [['good']], /ends too early/],
    ['ends before its last bracket', `[${good}`, [], /ends too early/],
    ['ends before the last bracket around', `{"conversations":[${good}]`, [['good']], /ends too early/],
    ['has a comma too many', `[${good},]`, [['good']], /comma/],
    ['has two commas', `[${good},,${good}]`, [['good']], /comma/],
    ['begins with a comma', `[,${good}]`, [], /comma/],
    ['lacks a comma', `[${good} ${good}]`, [], /not valid JSON/],
    ['has a wrong bracket', `[${good}},${good}]`, [], /bracket/],
    ['has a word that is none', `[${good},{"messages":nope},${good}]`, [['good']], /not valid JSON/],
    ['goes on after its end', `[${good}] ${good}`, [['good']], /follows its end/],
    ['is wrong around its list', `{"conversations":[${good}],nope}`, [['good']], /not valid JSON/],
    ['has a raw line break in a text', `[${good},{"title":"a\nb"}]`, [['good']], /not valid JSON/],
    ['is nested too deep', `[${good},${'['.repeat(2200)}${']'.repeat(2200)}]`, [['good']], /2100 levels/],
  ])('that %s is read up to there', async (_, text, expected, message) => {
    for (const pieces of [[Buffer.from(text)], Array.from(Buffer.from(text), (byte) => Uint8Array.of(byte))]) {
      const result = await read(pieces)
      expect(saysOf(result)).toEqual(expected)
      expect(result.error).toMatch(message)
      expect(result.error).toMatch(/^BAD_REQUEST/)
    }
  })

  test('that is no UTF-8 in the middle is read up to there', async () => {
    const result = await read([Buffer.from(`[${good},{"title":"`), Uint8Array.of(0xff, 0xfe), Buffer.from('"}]')])
    expect(saysOf(result)).toEqual([['good']])
    expect(result.error).toMatch(/UTF-8/)
  })

  test('of lines goes on after a bad one', async () => {
    const lines = [good, '{', '', '[1,', good, '"a', '{"what":"is this"}']
    const result = await readText(lines.join('\n'), LINES)
    expect(saysOf(result)).toEqual([['good'], 'invalid_json', 'invalid_json', ['good'], 'invalid_json', null])
    expect(result).toMatchObject({ known: true, problem: 'BAD_REQUEST', error: undefined })
  })

  test.each([
    ['gzip', Bun.gzipSync(Buffer.from(good))],
    ['zip', Buffer.from('504b0304140000000800', 'hex')],
    ['the beginning of gzip', Uint8Array.of(0x1f, 0x8b)],
  ])('that is %s is not opened, whatever it comes in', async (_, packed) => {
    for (const pieces of [[packed], Array.from(packed, (byte) => Uint8Array.of(byte))]) {
      const result = await read(pieces)
      expect(result).toMatchObject({ known: false, error: expect.stringMatching(/^UNSUPPORTED_MEDIA_TYPE .*unpacked/) })
    }
  })

  test('of nothing, of blanks or of a word is not known', async () => {
    for (const text of ['', ' \n', '\uFEFF', '"conversations"', '7', 'null', '[]', '{}', '[7,"x"]']) {
      expect(await readText(text)).toMatchObject({ known: false, error: undefined })
    }
    expect((await readText('nope')).error).toMatch(/not valid JSON/)
    expect((await readText('7 7')).error).toMatch(/not valid JSON/)
  })
})

describe('what is large', () => {
  const mega = 'x'.repeat(1_048_576)
  function* withGiant(before: string, after: string) {
    yield Buffer.from(`${before}{"messages":[{"role":"user","content":"`)
    for (let size = 0; size <= MAX_CONVERSATION; size += mega.length) yield Buffer.from(mega)
    yield Buffer.from(`"}]}${after}`)
  }
  const good = JSON.stringify(say('good'))

  test('is left out alone, when it is one conversation', async () => {
    for (const [pieces, type] of [
      [withGiant(`[${good},`, `,${good}]`), undefined],
      [withGiant(`{"conversations":[${good},`, `,${good}]}`), undefined],
      [withGiant(`${good}\n`, `\n${good}`), LINES],
    ] as const) {
      const result = await read(pieces, type)
      expect(saysOf(result)).toEqual([['good'], 'too_large', ['good']])
    }
    const alone = await read(withGiant('', ''))
    expect(alone).toMatchObject({ found: ['too_large'], known: false, problem: 'PAYLOAD_TOO_LARGE' })
  })

  test('and one list of messages is refused', async () => {
    function* messages() {
      for (let size = 0; size <= MAX_CONVERSATION; size += mega.length)
        yield Buffer.from(`${size ? ',' : '['}{"role":"user","content":"${mega}"}`)
      yield Buffer.from(']')
    }
    expect(await read(messages())).toMatchObject({ found: [], error: expect.stringMatching(/^PAYLOAD_TOO_LARGE/) })
  })

  test('as a whole is refused where it grows beyond the limit', async () => {
    const pieces = [`[${good},`, `${good},`, `${good}]`].map((text) => Buffer.from(text))
    const result = await read(pieces, undefined, 80)
    expect(result.error).toMatch(/^PAYLOAD_TOO_LARGE .*80 bytes/)
    expect(saysOf(result)).toEqual([['good']])
  })
})
