import { storable } from '../../lib/text'
import type { ArchivedBranch } from '../../store/port'
import type { Mended } from './mend'

/** A named end of the tree; places are those of `Mended.messages`, -1 is none. */
export interface MendedBranch {
  key: string
  name: string
  /** Where it forked off. */
  parent: number
  leaf: number
  createdAt: Date
  viewedAt: Date
}

const MAX_NAME = 100

export interface Ends {
  branches: MendedBranch[]
  /** Of each message the branch that came through it first. */
  branchOf: (string | undefined)[]
  /** Where the shown path ends. */
  active: number
}

/** One branch for every leaf: those that are named, and new ones where none is. */
export function endsOf({ messages, active: shown, createdAt }: Mended, given: ArchivedBranch[] = []): Ends {
  const places = new Map(messages.map(({ key }, i) => [key, i]))
  const lastChild = new Array<number>(messages.length).fill(-1)
  for (const [i, { parent }] of messages.entries()) if (parent >= 0) lastChild[parent] = i
  const branches = named(given, places, messages.length === 0)
  const taken = new Set(branches.map(({ leaf }) => leaf))
  const branchOf = new Array<string | undefined>(messages.length).fill(undefined)
  for (const { key, leaf } of branches) claim(key, leaf, messages, branchOf)
  const leaves = [...messages.keys()].filter((i) => lastChild[i] === -1 && !taken.has(i))
  for (const leaf of leaves) {
    const key = `end of ${messages[leaf]?.key}`
    const { first, parent } = claim(key, leaf, messages, branchOf)
    const begun = messages[first]?.createdAt ?? createdAt
    const viewedAt = messages[leaf]?.createdAt ?? createdAt
    branches.push({ key, name: nameOf(branches.length), parent, leaf, createdAt: begun, viewedAt })
  }
  if (branches.length === 0) {
    branches.push({ key: 'empty', name: 'Main', parent: -1, leaf: -1, createdAt, viewedAt: createdAt })
  }
  const ends = new Set(branches.map(({ leaf }) => leaf))
  return { branches, branchOf, active: endBelow(shown >= 0 ? shown : latest(messages, lastChild), lastChild, ends) }
}

const nameOf = (before: number) => (before === 0 ? 'Main' : `Branch ${before + 1}`)

/** Those of our own file that end somewhere; one for each end. */
function named(given: ArchivedBranch[], places: Map<string, number>, empty: boolean): MendedBranch[] {
  const branches: MendedBranch[] = []
  const taken = new Set<number>()
  const keys = new Set<string>()
  for (const { id, name, leafId, parentMessageId, createdAt, viewedAt } of given) {
    const leaf = leafId === null ? -1 : places.get(leafId)
    if (leaf === undefined || taken.has(leaf) || keys.has(id) || (leaf === -1 && !empty)) continue
    taken.add(leaf)
    keys.add(id)
    branches.push({
      key: id,
      name: storable(name).trim().slice(0, MAX_NAME).toWellFormed() || nameOf(branches.length),
      parent: places.get(parentMessageId ?? '') ?? -1,
      leaf,
      createdAt,
      viewedAt,
    })
  }
  return branches
}

/** Takes the way up from a leaf, as far as no other branch has it. @returns its first message, and where it forked off. */
function claim(key: string, leaf: number, messages: Mended['messages'], branchOf: (string | undefined)[]) {
  let [first, parent] = [leaf, leaf]
  while (parent >= 0 && branchOf[parent] === undefined) {
    branchOf[parent] = key
    first = parent
    parent = messages[parent]?.parent ?? -1
  }
  return { first, parent }
}

/** The message said last, of those at an end. */
function latest(messages: Mended['messages'], lastChild: number[]): number {
  let found = -1
  for (const [i, { createdAt }] of messages.entries()) {
    if (lastChild[i] === -1 && createdAt >= (messages[found]?.createdAt ?? createdAt)) found = i
  }
  return found
}

function endBelow(place: number, lastChild: number[], ends: Set<number>): number {
  let at = place
  while (at >= 0 && !ends.has(at)) at = lastChild[at] ?? -1
  return at
}
