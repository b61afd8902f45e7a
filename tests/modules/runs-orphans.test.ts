import { expect, test } from 'bun:test'
import { newId } from '../../src/lib/ids'
import { Orphans, type OrphansDeps } from '../../src/modules/runs/orphans'

/** A process of which nothing was heard for so many seconds, and one more with every look at it. */
function silentSince(seconds: number) {
  let closed = 0
  const look = () => seconds++
  const runs = {
    claimOrphans: async ({ silentSeconds }: { silentSeconds: number }) => {
      if (look() >= silentSeconds) throw new Error('It was to be found by the second look')
      return []
    },
    interruptOrphans: async (silentSeconds: number) => {
      if (look() >= silentSeconds) closed++
      return closed
    },
  }
  return { store: { runs } as unknown as OrphansDeps['store'], closed: () => closed }
}

/** @param room for how many it goes on with answers; undefined: never. */
function orphans(store: OrphansDeps['store'], room?: number): Orphans {
  const it = new Orphans({
    store,
    continues: room !== undefined,
    instanceId: newId(),
    now: () => new Date(),
    onFault: (message) => {
      throw new Error(message)
    },
    start: () => {},
  })
  it.use({ room: () => room ?? 0, goOn: () => Promise.reject(new Error('nothing to go on with')) })
  return it
}

test('what falls silent between a claim and the closing behind it is left for others to claim', async () => {
  const { store, closed } = silentSince(9)
  await orphans(store, 1).look([], false)
  expect(closed()).toBe(0)
})

test('a server without room leaves it to those that have some', async () => {
  const { store, closed } = silentSince(12)
  const it = orphans(store, 0)
  await it.look([], false)
  expect(closed()).toBe(0)
  // Nobody had any.
  for (let i = 0; i < 5; i++) await it.look([], false)
  expect(closed()).toBeGreaterThan(0)
})

test('where nobody goes on with anything it is closed at once', async () => {
  const { store, closed } = silentSince(10)
  await orphans(store).look([], false)
  expect(closed()).toBe(1)
})
