import { Elysia } from 'elysia'
import type { Auth } from '../../plugins/auth'
import { describe } from '../../plugins/docs'
import type { User } from '../../store/port'
import { infoExample, listExample, ModelId, ModelsQuery, providerExample } from './model'
import type { Models } from './service'

const tag = 'Models'

/** What models there are, for OpenAI's clients and for those who want to know more. */
export const models = (auth: Auth, models: Models) =>
  new Elysia({ name: 'models', prefix: '/v1/models' })
    .use(auth)
    .get(
      '',
      async ({ user, query }) =>
        query.format === 'rich' ? { success: true, data: await models.rich(user) } : models.list(user),
      {
        query: ModelsQuery,
        detail: describe({
          summary: 'The models there are',
          description: LIST,
          tag,
          example: listExample,
          errors: ['UPSTREAM_ERROR', 'UPSTREAM_UNAVAILABLE'],
        }),
      },
    )
    .get('/:id', ({ user, params, query }) => named(models, user, { name: params.id, ...query }), {
      params: ModelId,
      query: ModelsQuery,
      detail: describe({
        summary: 'The models of a provider, or one model',
        description: NAMED,
        tag,
        example: providerExample,
        errors: ['NOT_FOUND', 'UPSTREAM_ERROR', 'UPSTREAM_UNAVAILABLE'],
      }),
    })
    .get('/:id/info', async ({ user, params }) => ({ success: true, data: await models.info(user, params.id) }), {
      params: ModelId,
      detail: describe({
        summary: 'All that is known of a model',
        description: INFO,
        tag,
        example: infoExample,
        errors: ['NOT_FOUND', 'UPSTREAM_ERROR', 'UPSTREAM_UNAVAILABLE'],
      }),
    })
    // The same two for names with slashes that nobody has escaped.
    .get(
      '/*',
      async ({ user, params, query }) => {
        const path = params['*']
        if (!path.endsWith('/info')) return named(models, user, { name: path, ...query })
        return { success: true, data: await models.info(user, path.slice(0, -'/info'.length)) }
      },
      { query: ModelsQuery, detail: { hide: true } },
    )

/** A provider goes before a model of the same name. */
async function named(models: Models, user: User, { name, format }: { name: string; format?: 'openai' | 'rich' }) {
  const ofProvider = await models.ofProvider(user, name)
  if (ofProvider) return { success: true, data: ofProvider }
  return format === 'rich' ? { success: true, data: await models.info(user, name) } : models.find(user, name)
}

const LIST = `OpenAI's list shape, not our envelope. With \`?format=rich\` our envelope with \`models\` and \`price_book\`; each model as \`GET /v1/models/{id}/info\` has it. Models that you may not use are not in it.`

const NAMED = `The name of a provider, or of a model's maker, gives its models with all that is known of them. The name of a model gives OpenAI's model object; with \`?format=rich\` the same as \`/info\`. A provider goes before a model of the same name. Slashes in names may stand as they are.`

const INFO = `Limits in tokens, prices in US dollars per million tokens (\`source\` says whose word they are; \`above\` are those of long requests), what it can do, whether it is to be used no more, and how it stands with it: \`ok\`, \`degraded\` when some of its deployments are left alone after failures, \`down\` when all are. \`first_token_ms\` is the time to the first piece, averaged over the last minutes. What nobody has said is null.`
