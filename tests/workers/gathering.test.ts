import { expect, test } from 'bun:test'
import { Gathering, type Listener } from '../../src/workers/gathering'
import type { FromWorker, ToWorker } from '../../src/workers/messages'
import { Siblings } from '../../src/workers/siblings'

/** Workers around a supervisor, without processes; those of `silent` never answer. */
function crew(names: string[], silent: string[] = []) {
  const gathering = new Gathering()
  const members = new Map<string, Listener & { siblings: Siblings }>()
  const others = (of: string) => [...members].flatMap(([name, member]) => (name === of ? [] : [member]))
  for (const name of names) {
    const hear = (message: FromWorker) => {
      const member = members.get(name)
      if (!member) return
      if (message.kind === 'ask') gathering.begin(member, message.id, others(name))
      else if (message.kind === 'told') gathering.told(member, message)
    }
    const siblings = new Siblings({ send: hear, count: async () => [{ name }] })
    const send = (message: ToWorker) => {
      if (message.kind === 'answer' || !silent.includes(name)) void siblings.hear(message)
    }
    members.set(name, { siblings, send })
  }
  const ask = (name: string) => members.get(name)?.siblings.metrics()
  return { gathering, members, ask }
}

test('brings one worker what the others have counted', async () => {
  const { ask } = crew(['a', 'b', 'c'])
  const [ofA, ofB] = await Promise.all([ask('a'), ask('b')])
  expect(ofA).toEqual([[{ name: 'b' }], [{ name: 'c' }]])
  expect(ofB).toEqual([[{ name: 'a' }], [{ name: 'c' }]])
})

test('has nothing to wait for when a worker is alone', async () => {
  expect(await crew(['a']).ask('a')).toEqual([])
})

test('goes on without a worker that says nothing, or dies', async () => {
  const { ask, gathering, members } = crew(['a', 'b', 'c'], ['c'])
  expect(await ask('a')).toEqual([[{ name: 'b' }]])
  const asked = ask('a')
  const dead = members.get('c')
  if (dead) gathering.gone(dead)
  expect(await asked).toEqual([[{ name: 'b' }]])
})
