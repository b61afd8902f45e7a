import { t } from 'elysia'
import { paged } from '../../lib/page'
import { snippetHtml } from '../../lib/snippet'
import type { FoundConversation, SearchMatch } from '../../store/port'
import { pageFields } from '../paging'

const Day = (description: string) => t.Optional(t.String({ maxLength: 40, description }))

export const SearchQuery = t.Object({
  q: t.String({
    minLength: 1,
    maxLength: 10_240,
    pattern: '\\S',
    description: 'Words of one message or title; `"a phrase"`, `this or that` and `-without` narrow them',
    examples: ['green tea'],
  }),
  model: t.Optional(t.String({ minLength: 1, maxLength: 200, description: "The conversation's model" })),
  date_from: Day('Written then or later: a day in UTC, `2026-11-21`, or a time, `2026-11-21T10:00:00Z`'),
  date_to: Day('Written on that day or before, or before that time'),
  min_messages: t.Optional(
    t.Numeric({
      minimum: 1,
      maximum: 1_000_000,
      multipleOf: 1,
      description: 'In the conversation, all branches together',
    }),
  ),
  // Not an enum of Elysia's: it would make the first of them the default.
  role: t.Optional(
    t.Union([t.Literal('user'), t.Literal('assistant'), t.Literal('tool')], {
      description: 'Who said it; titles are left out',
    }),
  ),
  ...pageFields(20),
})
export type SearchQuery = typeof SearchQuery.static

const matchJson = ({ messageId, role, createdAt, snippet }: SearchMatch) => ({
  message_id: messageId,
  role,
  created_at: createdAt.toISOString(),
  snippet: { ...snippet, html: snippetHtml(snippet) },
})

export const foundJson = ({ conversation, score, matches }: FoundConversation) => ({
  conversation: {
    id: conversation.id,
    title: conversation.title,
    model: conversation.model,
    updated_at: conversation.updatedAt.toISOString(),
  },
  score: Number(score.toFixed(6)),
  matches: matches.map(matchJson),
})

const foundExample = {
  conversation: {
    id: '0199c0de-0000-7000-8000-000000000001',
    title: 'What is tea?',
    model: 'demo/eliza',
    updated_at: '2026-11-21T10:00:01.000Z',
  },
  score: 0.143125,
  matches: [
    {
      message_id: '0199c0de-0000-7000-8000-000000000003',
      role: 'assistant' as const,
      created_at: '2026-11-21T10:00:00.000Z',
      snippet: {
        text: 'Green tea & black teas',
        highlights: [
          { start: 6, end: 9 },
          { start: 18, end: 22 },
        ],
        html: 'Green <mark>tea</mark> &amp; black <mark>teas</mark>',
      },
    },
  ],
} satisfies ReturnType<typeof foundJson>

export const searchExample = {
  method: 'words' as const,
  ...paged([foundExample], { page: 1, limit: 20 }, 1),
  total_is_estimate: false,
  facets: {
    models: [{ model: 'demo/eliza', conversations: 1 }],
    months: [{ month: '2026-11', conversations: 1 }],
  },
}
