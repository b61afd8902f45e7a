import { expect, test } from 'bun:test'
import type { Owner, SearchQuery } from '../../../src/store/port'
import { after, type Given, message } from './given'

const PAGE = { page: 1, limit: 20 }

export function searchContract(given: () => Given): void {
  const find = (owner: Owner, q: string, more: Partial<SearchQuery> = {}, page = PAGE) =>
    given().store.search.find(owner, { q, ...more }, page)
  const titles = async (owner: Owner, q: string, more: Partial<SearchQuery> = {}) =>
    (await find(owner, q, more)).items.map(({ conversation }) => conversation.title).sort()
  /** A conversation of one question and its answer. */
  const said = async (owner: Owner, title: string, question = 'question', answer = 'answer', at = after(0)) => {
    const turn = await given().begun(owner, { title, messages: [message(question)], at })
    await given().finish(turn, answer)
    return turn
  }
  /** What is highlighted, match by match. */
  const seen = async (owner: Owner, q: string) => {
    const { items } = await find(owner, q)
    return items.flatMap(({ matches }) =>
      matches.map(({ snippet: { text, highlights } }) => highlights.map(({ start, end }) => text.slice(start, end))),
    )
  }

  test('finds words in titles, questions and answers, with all their endings', async () => {
    const user = await given().user()
    await said(user, 'In the title: kettles')
    await said(user, 'In the question', 'Which kettle is best?')
    await said(user, 'In the answer', 'Which one?', 'These Kettles boil water.')
    await said(user, 'Nowhere')
    expect(await titles(user, 'kettle')).toEqual(['In the answer', 'In the question', 'In the title: kettles'])
    expect(await titles(user, 'boiling KETTLES')).toEqual(['In the answer'])
    expect((await find(user, 'kettle')).method).toBe('words')
  })

  test('knows the endings of Russian', async () => {
    const user = await given().user()
    await said(user, 'Машины', 'Какая машина лучше?', 'Красные автомобили быстрее.')
    expect(await titles(user, 'машиной')).toEqual(['Машины'])
    expect(await seen(user, 'красный автомобиль')).toEqual([['Красные', 'автомобили']])
    expect(await titles(user, 'машина -быстрый')).toEqual(['Машины'])
    expect(await titles(user, 'машина -лучшая')).toEqual(['Машины'])
    expect(await titles(user, '"красные машины"')).toEqual([])
  })

  test('tells which message of which branch it is, the title first, and shows it marked', async () => {
    const user = await given().user()
    const first = await said(user, 'Teapots & cups', 'About <b>teapots</b>', 'A teapot 😀 is round')
    const again = await given().begun(user, { in: first.conversationId, parentId: first.questionId, messages: [] })
    await given().finish(again, 'no hit here')
    const { items, total } = await find(user, 'teapot')
    expect(total).toBe(1)
    expect(items[0]?.conversation).toMatchObject({ id: first.conversationId, title: 'Teapots & cups' })
    const matches = items[0]?.matches ?? []
    expect(matches).toHaveLength(3)
    expect(matches[0]).toEqual({
      messageId: null,
      role: null,
      createdAt: after(0),
      snippet: { text: 'Teapots & cups', highlights: [{ start: 0, end: 7 }] },
    })
    const inAnswer = matches.find(({ messageId }) => messageId === first.answerId)
    expect(inAnswer).toMatchObject({ role: 'assistant', snippet: { text: 'A teapot 😀 is round' } })
    const inQuestion = matches.find(({ messageId }) => messageId === first.questionId)
    expect(inQuestion?.snippet).toEqual({ text: 'About <b>teapots</b>', highlights: [{ start: 9, end: 16 }] })
  })

  test('puts first what says it in the title, then what says it in fewer words', async () => {
    const user = await given().user()
    await said(user, 'Long', `A samovar and ${'much else to read, '.repeat(50)}`)
    await said(user, 'Short', 'A samovar')
    await said(user, 'Samovar')
    const { items } = await find(user, 'samovar')
    expect(items.map(({ conversation }) => conversation.title)).toEqual(['Samovar', 'Short', 'Long'])
    expect(items.map(({ score }) => score)).toEqual(items.map(({ score }) => score).sort((a, b) => b - a))
  })

  test('takes operators, quotes and wildcards for what a person means by them, and fails at none', async () => {
    const user = await given().user()
    await said(user, 'Deal', '100% of a_b and C:\\temp', 'It is a "done deal" & more | less')
    await said(user, 'Other', 'nothing of that')
    expect(await titles(user, '"done deal"')).toEqual(['Deal'])
    expect(await titles(user, '"deal done"')).toEqual([])
    expect(await titles(user, 'done or nothing')).toEqual(['Deal', 'Other'])
    expect(await titles(user, 'that -nothing')).toEqual([])
    for (const part of ['100%', '0% of a_', 'C:\\t', '" & m', '| l', '%'])
      expect([part, await titles(user, part)]).toEqual([part, ['Deal']])
    for (const odd of [
      '_%_',
      "'); drop table x; --",
      ':*',
      '!',
      '&|!()',
      '<->',
      '\\',
      '"',
      'a & ! b',
      'or',
      '-',
      '- -',
      '\0',
    ])
      expect([odd, Array.isArray(await titles(user, odd))]).toEqual([odd, true])
    for (const long of [
      '日'.repeat(1000),
      'я'.repeat(1000),
      '😀'.repeat(500),
      '-x '.repeat(333),
      'ten kilobytes of words '.repeat(450),
      Array.from({ length: 1400 }, (_, i) => `w${i}`).join(' '),
      '"'.repeat(1000),
      '\ud800',
    ])
      expect([long, await titles(user, long)]).toEqual([long, []])
  })

  test('finds a part of a word when there is no such word, and writing without spaces', async () => {
    const user = await given().user()
    await said(user, 'Kubernetes', 'Explain MyClassFactoryBean', '日本語のテキストを検索します')
    const found = await find(user, 'classfactory')
    expect(found).toMatchObject({ method: 'substring', total: 1 })
    expect(await seen(user, 'classfactory')).toEqual([['ClassFactory']])
    expect(await seen(user, 'テキスト')).toEqual([['テキスト']])
    expect(await seen(user, 'BERNET')).toEqual([['bernet']])
    expect(await titles(user, 'the')).toEqual([])
  })

  test('finds what is only written wrongly', async () => {
    const user = await given().user()
    await said(user, 'Physics', 'Explain quantum entanglement', 'It is spooky.')
    await said(user, 'Вокзал', 'Когда отправляется поезд?', "It's odd")
    expect(await find(user, 'quantm')).toMatchObject({ method: 'similar', total: 1 })
    expect(await seen(user, 'quantm entangelment')).toEqual([['quantum', 'entanglement']])
    expect(await titles(user, 'Phisics')).toEqual(['Physics'])
    expect(await seen(user, 'отправлятся')).toEqual([['отправляется']])
    expect(await titles(user, 'quantm zzzzzz')).toEqual([])
    expect(await titles(user, '"quantm"')).toEqual([])
    expect(await find(user, 'zzzzzz')).toEqual({
      method: 'words',
      items: [],
      total: 0,
      totalIsEstimate: false,
      models: [],
      months: [],
    })
  })

  test('shows the place in a long text, wherever it is', async () => {
    const user = await given().user()
    const filler = 'nothing to see in these words. '.repeat(700)
    await said(
      user,
      'Long',
      `${filler} Here a samovar stands. ${filler}`,
      `${filler} There it was happily singing. ${filler}`,
    )
    expect(await seen(user, 'samovars')).toEqual([['samovar']])
    expect(await seen(user, 'happy')).toEqual([['happily']])
    expect(await seen(user, 'SAMOVAR ST')).toEqual([['samovar st']])
    expect(await seen(user, 'samovra')).toEqual([['samovar']])
    const { items } = await find(user, 'samovar')
    expect(items[0]?.matches[0]?.snippet.text.length).toBeLessThan(400)
  })

  test('narrows by model, time, length and speaker, and counts by model and month', async () => {
    const user = await given().user()
    const [old, late] = [new Date('2026-01-31T23:59:59.999Z'), new Date('2026-03-01T00:00:00.000Z')]
    await said(user, 'Old', 'tea', 'tea', old)
    const long = await said(user, 'Late', 'tea', 'coffee', late)
    await given().answered(user, { in: long.conversationId, model: 'other', at: late })
    expect(await titles(user, 'tea')).toEqual(['Late', 'Old'])
    expect(await titles(user, 'tea', { model: 'other' })).toEqual(['Late'])
    expect(await titles(user, 'tea', { from: late })).toEqual(['Late'])
    expect(await titles(user, 'tea', { before: late })).toEqual(['Old'])
    expect(await titles(user, 'tea', { minMessages: 3 })).toEqual(['Late'])
    expect(await titles(user, 'tea', { role: 'assistant' })).toEqual(['Old'])
    expect(await titles(user, 'late', { role: 'user' })).toEqual([])
    const { models, months } = await find(user, 'tea', {}, { page: 1, limit: 1 })
    expect(months).toEqual([
      { month: '2026-03', conversations: 1 },
      { month: '2026-01', conversations: 1 },
    ])
    expect(models).toEqual([
      { model: 'default-model', conversations: 1 },
      { model: 'other', conversations: 1 },
    ])
  })

  test('gives pages that do not overlap', async () => {
    const user = await given().user()
    for (let i = 0; i < 7; i++) await said(user, `Tea number ${i}`)
    const pages = await Promise.all([1, 2, 3, 4].map((page) => find(user, 'tea', {}, { page, limit: 3 })))
    expect(pages.map(({ items }) => items.length)).toEqual([3, 3, 1, 0])
    expect(pages.map(({ total }) => total)).toEqual([7, 7, 7, 7])
    const ids = pages.flatMap(({ items }) => items.map(({ conversation }) => conversation.id))
    expect(new Set(ids).size).toBe(7)
  })

  test('follows what is written, renamed and deleted at once', async () => {
    const user = await given().user()
    const turn = await given().begun(user, { title: 'Title', messages: [message('question')] })
    expect(await titles(user, 'samovar')).toEqual([])
    await given().finish(turn, 'a samovar')
    expect(await titles(user, 'samovar')).toEqual(['Title'])
    await given().store.conversations.update(user, turn.conversationId, { title: 'Renamed' }, { at: after(1) })
    expect(await titles(user, 'renamed')).toEqual(['Renamed'])
    expect(await titles(user, 'title')).toEqual([])
    await given().store.conversations.remove(user, turn.conversationId)
    expect(await titles(user, 'samovar')).toEqual([])
  })

  test("finds nothing of somebody else's, whatever is asked for", async () => {
    const [owner, other] = [await given().user(), await given().user()]
    await said(owner, 'Secret plans', 'a samovar', `u:${other.userId}`)
    await given().sql('update conversations set title = $2 where user_id = $1', [owner.userId, `'u:${other.userId}'`])
    for (const q of ['samovar', 'secret', 'amova', 'samovr', `u:${owner.userId}`, `'u:${owner.userId}'`, owner.userId])
      expect([q, await titles(other, q)]).toEqual([q, []])
    const { tenantId: _, ...rest } = owner
    expect(await titles({ ...rest, tenantId: crypto.randomUUID() }, 'samovar')).toEqual([])
  })
}
