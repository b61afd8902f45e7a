import { Elysia, t } from 'elysia'
import { type Auth, credentialOf } from '../../plugins/auth'
import type { ClientAddress } from '../../plugins/client-address'
import { describe } from '../../plugins/docs'
import { Login, Refresh, Register, tokensExample, userExample, userJson } from './model'
import type { SignIn } from './sign-in'

const tag = 'Accounts'
const example = { user: userExample, tokens: tokensExample }

/** Signing up and in. The shapes are those of the `/api/v1` system: plain objects without our envelope. */
export const accounts = ({ auth, address }: { auth: Auth; address: ClientAddress }, signIn: SignIn) =>
  new Elysia({ name: 'accounts', prefix: '/api/v1/auth' })
    .use(address)
    .post('/register', async ({ body, address, status }) => status(201, await signIn.register(body, address)), {
      body: Register,
      detail: describe({
        summary: 'Make an account',
        tag,
        example,
        status: 201,
        open: true,
        errors: ['CONFLICT', 'RATE_LIMIT_EXCEEDED'],
      }),
    })
    .post('/login', ({ body, address }) => signIn.login(body, address), {
      body: Login,
      detail: describe({
        summary: 'Sign in',
        tag,
        example,
        open: true,
        errors: ['UNAUTHORIZED', 'RATE_LIMIT_EXCEEDED'],
      }),
    })
    .post('/refresh', ({ body }) => signIn.refresh(body.refresh_token), {
      body: Refresh,
      detail: describe({
        summary: 'Trade a refresh token for new tokens',
        description:
          'Each refresh token works once; the answer has the next one. Using a spent one ends the session, except within ten seconds, when it gives the same successor again (two tabs).',
        tag,
        example,
        open: true,
        errors: ['UNAUTHORIZED'],
      }),
    })
    .use(auth)
    .get('/me', ({ user }) => userJson(user), {
      detail: describe({ summary: 'Who am I', tag, example: userExample }),
    })
    .post(
      '/logout',
      async ({ headers, body }) => {
        await signIn.logout(credentialOf(headers) ?? '', body?.refresh_token)
        return { success: true }
      },
      {
        body: t.Optional(t.Nullable(t.Partial(Refresh))),
        detail: describe({
          summary: 'Sign out',
          description: 'Ends the session of the access token, and of the refresh token if one is sent.',
          tag,
          example: { success: true },
        }),
      },
    )
