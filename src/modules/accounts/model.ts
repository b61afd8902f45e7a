import { t } from 'elysia'
import type { User } from '../../store/port'

const Email = t.String({
  format: 'email',
  maxLength: 254,
  description: 'Case does not matter',
})
/** Longer ones are refused before any hashing: hashing is expensive on purpose. */
const Password = t.String({
  minLength: 8,
  maxLength: 128,
  description: '8 to 128 characters',
})

export const Register = t.Object(
  {
    email: Email,
    password: Password,
    name: t.Optional(t.String({ minLength: 1, maxLength: 100 })),
  },
  {
    examples: [{ email: 'test@example.com', password: 'password123', name: 'Test User' }],
  },
)
export type Register = typeof Register.static

export const Login = t.Object(
  {
    email: t.String({ minLength: 1, maxLength: 254 }),
    password: t.String({ minLength: 1, maxLength: 128 }),
  },
  { examples: [{ email: 'test@example.com', password: 'password123' }] },
)
export type Login = typeof Login.static

export const Refresh = t.Object(
  {
    refresh_token: t.String({
      minLength: 1,
      maxLength: 200,
      description: 'The newest one; it is spent by this call',
    }),
  },
  { examples: [{ refresh_token: 'rt_…' }] },
)

export interface Tokens {
  access_token: string
  refresh_token: string
  token_type: 'bearer'
  /** Seconds that the access token lives. */
  expires_in: number
}

export const userJson = (user: User) => ({
  id: user.userId,
  email: user.email,
  name: user.name,
  created_at: user.createdAt?.toISOString() ?? null,
})

export const userExample = {
  id: '0199c0de-0000-7000-8000-00000000000a',
  email: 'test@example.com',
  name: 'Test User',
  created_at: '2026-11-21T10:00:00.000Z',
} satisfies ReturnType<typeof userJson>

export const tokensExample = {
  access_token: 'eyJhbGciOiJIUzI1NiJ9…',
  refresh_token: 'rt_…',
  token_type: 'bearer',
  expires_in: 900,
} satisfies Tokens
