import { t } from 'elysia'
import type { ApiKey } from '../../store/port'

export const NewKey = t.Object(
  {
    name: t.String({
      minLength: 1,
      maxLength: 100,
      description: 'What the key is for',
    }),
    expires_at: t.Optional(t.Nullable(t.String({ format: 'date-time', description: 'No end when absent' }))),
  },
  { examples: [{ name: 'my laptop' }] },
)
export type NewKey = typeof NewKey.static

export const keyJson = (key: ApiKey) => ({
  id: key.id,
  name: key.name,
  last_four: key.lastFour,
  created_at: key.createdAt.toISOString(),
  expires_at: key.expiresAt?.toISOString() ?? null,
  last_used_at: key.lastUsedAt?.toISOString() ?? null,
})

export const keyExample = {
  id: '0199c0de-0000-7000-8000-00000000000b',
  name: 'my laptop',
  last_four: 'x7Qk',
  created_at: '2026-11-21T10:00:00.000Z',
  expires_at: null,
  last_used_at: null,
} satisfies ReturnType<typeof keyJson>
