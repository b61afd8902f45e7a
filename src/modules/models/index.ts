import { Elysia } from 'elysia'
import type { ModelDirectory } from '../../llm/directory'
import type { Auth } from '../../plugins/auth'
import { describe } from '../../plugins/docs'
import type { WalletStore } from '../../store/port'

const example = {
  object: 'list',
  data: [{ id: 'demo/eliza', object: 'model', created: 0, owned_by: 'demo' }],
}

/** The list that OpenAI clients read. */
export const models = (auth: Auth, models: ModelDirectory, wallets: WalletStore) =>
  new Elysia({ name: 'models', prefix: '/v1/models' }).use(auth).get(
    '',
    async ({ user }) => {
      const { litellmKey } = await wallets.of(user)
      const data = (await models.list(litellmKey)).map(({ id, created, ownedBy }) => ({
        id,
        object: 'model',
        created,
        owned_by: ownedBy,
      }))
      return { object: 'list', data } satisfies typeof example
    },
    {
      detail: describe({
        summary: 'The models there are',
        description: "OpenAI's list shape, not our envelope.",
        tag: 'Models',
        example,
        errors: ['UPSTREAM_ERROR', 'UPSTREAM_UNAVAILABLE'],
      }),
    },
  )
