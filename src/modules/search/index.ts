import { Elysia } from 'elysia'
import { ok } from '../../lib/page'
import type { Auth } from '../../plugins/auth'
import { describe } from '../../plugins/docs'
import { SearchQuery, searchExample } from './model'
import type { Search } from './service'

export const search = (auth: Auth, search: Search) =>
  new Elysia({ name: 'search', prefix: '/v1/conversations' })
    .use(auth)
    .get('/search', async ({ user, query }) => ok(await search.find(user, query)), {
      query: SearchQuery,
      detail: describe({
        summary: 'Search my conversations',
        description:
          'Titles and every message, those of hidden branches included; the best match first, with the best three places of each conversation. `method` says how they were found: by `words`, in English and Russian with all their endings; when there are none as a part of the text (`substring`); and when that is nowhere, because it is written much like this (`similar`). `highlights` count UTF-16 units of `text`, `html` is the same with `<mark>`, safe to insert. `facets` count all conversations found.',
        tag: 'Conversations',
        example: ok(searchExample),
        errors: ['UPSTREAM_UNAVAILABLE', 'NOT_SUPPORTED'],
      }),
    })
