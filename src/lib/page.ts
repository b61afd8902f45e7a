/** Pages are 1-based; `limit` is at most 100. */
export interface Page {
  page: number
  limit: number
}

export interface Paged<T> {
  items: T[]
  pagination: Page & { total: number; pages: number }
}

export const paged = <T>(items: T[], { page, limit }: Page, total: number): Paged<T> => ({
  items,
  pagination: { page, limit, total, pages: Math.ceil(total / limit) },
})

/** The envelope of every successful answer of our own surface. */
export const ok = <T>(data: T): { success: true; data: T } => ({
  success: true,
  data,
})

/** Rows from `offset` on, of a list that is read in pages: at most two of them. */
export async function sliced<T>(
  { limit, offset }: { limit: number; offset: number },
  read: (page: Page) => Promise<{ items: T[]; total: number }>,
): Promise<{ items: T[]; total: number }> {
  const page = Math.floor(offset / limit) + 1
  const skipped = offset % limit
  const { items, total } = await read({ page, limit })
  if (skipped === 0 || items.length < limit) return { items: items.slice(skipped), total }
  const next = await read({ page: page + 1, limit })
  return { items: [...items, ...next.items].slice(skipped, skipped + limit), total }
}
