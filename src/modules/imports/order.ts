import { count, type NormalMessage, type Repairs } from './normal'

/** A message with its place in the list it came in. Parents are places, too; -1 is none. */
export interface Linked {
  message: NormalMessage
  /** Its source's id, or one made up; nothing else has it. */
  key: string
  parent: number
}

/** Messages with parents that exist, in no circle. No step recurses: paths are as long as people make them. */
export function link(messages: NormalMessage[], repairs: Repairs): Linked[] {
  const nodes: Linked[] = []
  const places = new Map<string, number>()
  const named: (string | null | undefined)[] = []
  for (const message of messages) {
    const key = keyOf(message, places, nodes, repairs)
    if (key === undefined) continue
    places.set(key, nodes.length)
    named.push(message.parentSourceId)
    nodes.push({ message, key, parent: -1 })
  }
  const earlier = lazily(() => previousByTime(nodes))
  for (const [i, node] of nodes.entries()) {
    const parent = named[i]
    if (parent === undefined) node.parent = i - 1
    else if (parent !== null) {
      const place = places.get(parent)
      if (place !== undefined && place !== i) node.parent = place
      else {
        count(repairs, place === i ? 'self_parents' : 'missing_parents')
        node.parent = earlier()[i] ?? -1
      }
    }
  }
  breakCycles(nodes, repairs)
  return nodes
}

/** @returns undefined for a message that is there already. */
function keyOf(message: NormalMessage, places: Map<string, number>, nodes: Linked[], repairs: Repairs) {
  const made = `#${nodes.length}`
  const id = message.sourceId ?? made
  const place = places.get(id)
  if (place === undefined) return id
  if (message.sourceId !== null) count(repairs, 'duplicate_ids')
  const first = nodes[place]?.message
  const same = first?.role === message.role && first.content === message.content
  // A number no id of a source can have been given: each list has one message of this number.
  return same && message.sourceId !== null ? undefined : free(`${id}${made}`, places)
}

function free(key: string, places: Map<string, number>): string {
  let found = key
  while (places.has(found)) found += '#'
  return found
}

/** Of each message the one that was said before it, wherever that stands; those without a time were said where they stand. */
function previousByTime(nodes: Linked[]): number[] {
  const times = timesOf(nodes)
  const order = [...nodes.keys()].sort((a, b) => (times[a] ?? 0) - (times[b] ?? 0) || a - b)
  const previous = new Array<number>(nodes.length).fill(-1)
  for (const [at, place] of order.entries()) previous[place] = order[at - 1] ?? -1
  return previous
}

function timesOf(nodes: Linked[]): number[] {
  let last = 0
  return nodes.map(({ message }) => {
    last = message.createdAt?.getTime() ?? last
    return last
  })
}

/** Each circle becomes a path that begins at the message said first. */
function breakCycles(nodes: Linked[], repairs: Repairs): void {
  const times = lazily(() => timesOf(nodes))
  /** The walk that came through first. */
  const seen = new Array<number>(nodes.length).fill(-1)
  for (const start of nodes.keys()) {
    let at = start
    while (at >= 0 && seen[at] === -1) {
      seen[at] = start
      at = nodes[at]?.parent ?? -1
    }
    if (at < 0 || seen[at] !== start) continue
    let first = at
    for (let next = nodes[at]?.parent ?? at; next !== at; next = nodes[next]?.parent ?? at) {
      const [mine, best] = [times()[next] ?? 0, times()[first] ?? 0]
      if (mine < best || (mine === best && next < first)) first = next
    }
    const root = nodes[first]
    if (root) root.parent = -1
    count(repairs, 'cycles')
  }
}

function lazily<T>(make: () => T): () => T {
  let made: { value: T } | undefined
  return () => {
    made ??= { value: make() }
    return made.value
  }
}

/** Places level by level, parents before their children, children in the order of the list. */
export function byLevel(parents: number[]): number[] {
  const below = Map.groupBy(parents.keys(), (place) => parents[place] ?? -1)
  const order = [...(below.get(-1) ?? [])]
  for (let i = 0; i < order.length; i++) for (const child of below.get(order[i] ?? -1) ?? []) order.push(child)
  return order
}
