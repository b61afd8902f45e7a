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
