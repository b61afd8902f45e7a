import { type Bucket, type Level, MOST_DEBT } from './port'

/**
 * A bucket is kept as one number: the moment at which it will be full. A full one needs not be kept at all. Units are counted as
 * the milliseconds they take to flow back.
 */
export const costMs = ({ cost, perSecond }: Bucket): number => (cost * 1000) / perSecond
export const capacityMs = ({ capacity, perSecond }: Pick<Bucket, 'capacity' | 'perSecond'>): number =>
  (capacity * 1000) / perSecond
/** The furthest from full that a correction leaves it. */
export const deepestMs = (bucket: Bucket): number => capacityMs(bucket) * (1 + MOST_DEBT)

/** Milliseconds by which a request may come too early: sums of fractions are not exact. */
export const SLACK = 0.001

/** @param missingMs until it is full. @returns milliseconds until what is asked is in it. */
export const waitMs = (bucket: Bucket, missingMs: number): number => {
  const wait = missingMs + costMs(bucket) - capacityMs(bucket)
  return bucket.cost > 0 && wait > SLACK ? wait : 0
}

/** @param missingMs until it is full, after what was asked. */
export function levelOf(bucket: Bucket, missingMs: number, waitMs: number): Level {
  const { name, capacity, perSecond } = bucket
  const left = capacity - (missingMs * perSecond) / 1000
  return { name, capacity, emptyMs: capacityMs(bucket), left, fullMs: missingMs, waitMs }
}
