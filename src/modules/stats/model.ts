import { t } from 'elysia'
import { toUsd } from '../../lib/money'
import type { UserStats } from '../../store/port'

export const StatsQuery = t.Object({
  tz: t.Optional(
    t.String({
      minLength: 1,
      maxLength: 64,
      default: 'UTC',
      description: 'The time zone in which days begin: an IANA name',
      examples: ['Europe/Berlin'],
    }),
  ),
})

export const statsJson = (s: UserStats, timeZone: string) => ({
  conversations: s.conversations,
  archived: s.archived,
  branches: s.branches,
  messages: s.messages,
  answers: s.answers,
  prompt_tokens: s.promptTokens,
  completion_tokens: s.completionTokens,
  total_tokens: s.totalTokens,
  cost_usd: toUsd(s.costNanos),
  first_message_at: s.firstMessageAt?.toISOString() ?? null,
  last_message_at: s.lastMessageAt?.toISOString() ?? null,
  models: s.models.map(({ model, ...sums }) => ({ model, ...sumsJson(sums) })),
  time_zone: timeZone,
  days: s.days.map(({ date, messages, ...sums }) => ({ date, messages, ...sumsJson(sums) })),
  most_active: s.mostActive.map(({ id, title, messages, lastMessageAt }) => ({
    id,
    title,
    messages,
    last_message_at: lastMessageAt.toISOString(),
  })),
})

const sumsJson = (s: { answers: number; totalTokens: number; costNanos: bigint }) => ({
  answers: s.answers,
  total_tokens: s.totalTokens,
  cost_usd: toUsd(s.costNanos),
})

export const statsExample = {
  conversations: 3,
  archived: 1,
  branches: 4,
  messages: 14,
  answers: 7,
  prompt_tokens: 310,
  completion_tokens: 580,
  total_tokens: 890,
  cost_usd: 0.0012,
  first_message_at: '2026-11-01T08:00:00.000Z',
  last_message_at: '2026-11-21T10:02:00.000Z',
  models: [{ model: 'demo/eliza', answers: 7, total_tokens: 890, cost_usd: 0.0012 }],
  time_zone: 'Europe/Berlin',
  days: [{ date: '2026-11-21', messages: 4, answers: 2, total_tokens: 89, cost_usd: 0.00012 }],
  most_active: [
    {
      id: '0199c0de-0000-7000-8000-000000000001',
      title: 'What is tea?',
      messages: 8,
      last_message_at: '2026-11-21T10:02:00.000Z',
    },
  ],
} satisfies ReturnType<typeof statsJson>
