import type { budgetsJson } from './model'

const user_id = '0199c0de-0000-7000-8000-00000000000a'
const sums = { requests: 42, prompt_tokens: 18_200, completion_tokens: 9_140, total_tokens: 27_340, cost_usd: 0.16428 }

export const profileExample = {
  id: user_id,
  email: 'grace@example.com',
  name: 'Grace',
  preferences: { theme: 'dark' },
  time_zone: 'Europe/Berlin',
  created_at: '2026-11-21T10:00:00.000Z',
}

export const usageExample = {
  user_id,
  from: '2026-10-22T22:00:00.000Z',
  to: '2026-11-21T23:00:00.000Z',
  time_zone: 'Europe/Berlin',
  ...sums,
  days: [{ date: '2026-11-21', ...sums }],
  models: [{ model: 'gpt-4o', ...sums }],
}

export const budgetExample = {
  user_id,
  balance_usd: 9.58,
  available_usd: 9.56,
  limited: true,
  budgets: [
    {
      id: '0199c0de-0000-7000-8000-0000000000b0',
      period: 'month' as const,
      limit_usd: 20,
      spent_usd: 4.31,
      reserved_usd: 0.02,
      remaining_usd: 15.67,
      warn_percent: 80,
      hard: false,
      resets_at: '2026-12-01T00:00:00.000Z',
      set_by: 'me' as const,
    },
  ],
} satisfies ReturnType<typeof budgetsJson>

export const statsExample = {
  user_id,
  conversations: 3,
  messages: 14,
  answers: 7,
  total_tokens: 890,
  first_message_at: '2026-11-01T08:00:00.000Z',
  last_message_at: '2026-11-21T10:02:00.000Z',
  last_30_days: { ...sums, success_rate: 0.9762 },
}
