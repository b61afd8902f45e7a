/** A reader on another server that loses its connection anywhere, any number of times, gets the maker's events: no gap, no repeat. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import fc from 'fast-check'
import { isLast, Pair } from '../support/pair'
import { type Frame, readSse } from '../support/read-sse'
import { testRedisUrl } from '../support/redis'

let pair: Pair

beforeAll(async () => {
  pair = await Pair.open({ REDIS_URL: testRedisUrl() })
})
afterAll(() => pair.close())

/** Reads so many frames each time, on either server, then to the end. */
async function readInPieces(run: string, pieces: { frames: number; here: boolean }[]): Promise<Frame[]> {
  const all: Frame[] = []
  for (const { frames, here } of [...pieces, { frames: Number.POSITIVE_INFINITY, here: false }]) {
    if (all.some(isLast)) break
    const on = here ? pair.maker : pair.other
    const response = await pair.stream(run, { after: all.at(-1)?.id ?? 0, on })
    const piece = await readSse(response, (got) => got.length >= frames)
    all.push(...piece.frames)
  }
  return all
}

test('cut anywhere, on any server, the whole is the same', async () => {
  const piece = fc.record({ frames: fc.integer({ min: 1, max: 40 }), here: fc.boolean() })
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 8 }), fc.integer({ min: 1, max: 120 }), async (pieces, tokens) => {
      const { run, rest } = await pair.begin(`slow:2:${tokens}`)
      const elsewhere = readInPieces(run, pieces)
      const { frames } = await rest
      expect(frames.map(({ id }) => id)).toEqual(Array.from({ length: tokens + 2 }, (_, i) => i + 1))
      expect(await elsewhere).toEqual(frames)
      expect(await readInPieces(run, pieces)).toEqual(frames)
    }),
    { numRuns: 15 },
  )
}, 60_000)
