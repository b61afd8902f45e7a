/** A new UUIDv7: time-ordered, so that ids sort by age and indexes stay dense. */
export const newId = (): string => Bun.randomUUIDv7()
