import { type Fields, fields, idOrNull, isFields, list } from '../read'

/** What the nodes of a mapping call the one above and those below. */
export interface Links {
  parent: string
  children: string
}

/** The nodes as the lists of children name them: that is the order of alternatives; then those that no list names. */
export function inOrder(mapping: Fields, { parent, children }: Links): [string, Fields][] {
  const seen = new Set<string>()
  const order: [string, Fields][] = []
  const take = (key: string) => {
    const node = mapping[key]
    if (seen.has(key) || !isFields(node)) return
    seen.add(key)
    order.push([key, node])
  }
  const roots = Object.keys(mapping).filter((key) => !idOrNull(fields(mapping[key])[parent]))
  for (const key of roots) take(key)
  for (let i = 0; i < order.length; i++) {
    for (const child of list(order[i]?.[1][children]))
      if (typeof child === 'string' && Object.hasOwn(mapping, child)) take(child)
  }
  for (const key of Object.keys(mapping)) take(key)
  return order
}
