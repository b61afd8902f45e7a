import { t } from 'elysia'

/** Beyond it there is nothing, and further on numbers that a database cannot count with. */
const LAST_PAGE = 1_000_000

/** The query of every list. @param limit rows when the client does not say. */
export const pageFields = (limit: number) => ({
  page: t.Optional(t.Numeric({ minimum: 1, maximum: LAST_PAGE, multipleOf: 1, default: 1 })),
  limit: t.Optional(t.Numeric({ minimum: 1, maximum: 100, multipleOf: 1, default: limit })),
})
