/** How events lie in a Redis stream: entries of a few each, the entry's id being the number of the last one. */
import type { RunBatch, RunEvent } from './port'

/** The stream of a run. */
export const streamOf = (runId: string): string => `aco:run:${runId}`

/** Bounds of an entry: a reader takes whole ones. Characters are counted roughly. */
const MAX_EVENTS = 512
const MAX_CHARACTERS = 64 * 1024

/** What one look takes at most. */
export const ENTRIES_AT_ONCE = 32

export interface Entry {
  /** The number of its last event. */
  last: number
  /** The number of its first, and the events as JSON. */
  fields: [first: string, number: string, events: string, json: string]
}

/** Events from number `first` on as entries; of very many only the first few, roughly up to `room` characters. */
export function toEntries(first: number, events: readonly RunEvent[], room: number): Entry[] {
  const entries: Entry[] = []
  let from = 0
  let left = room
  while (from < events.length && (left > 0 || entries.length === 0)) {
    const count = fitting(events, from)
    const json = JSON.stringify(events.slice(from, from + count))
    entries.push({ last: first + from + count - 1, fields: ['f', String(first + from), 'e', json] })
    left -= json.length
    from += count
  }
  return entries
}

/** How many events from `from` on make an entry; at least one. */
function fitting(events: readonly RunEvent[], from: number): number {
  let characters = 0
  let count = 0
  while (count < MAX_EVENTS && from + count < events.length && (count === 0 || characters < MAX_CHARACTERS)) {
    const event = events[from + count]
    characters += typeof event === 'string' ? event.length : JSON.stringify(event).length
    count++
  }
  return count
}

/** The events of entries as Redis gives them that follow `after`, up to the first gap. */
export function fromEntries(entries: [id: string, fields: string[]][], after: number): RunBatch | undefined {
  const events: RunEvent[] = []
  for (const [, [, first, , json]] of entries) {
    const skip = after + events.length + 1 - Number(first)
    if (!(skip >= 0) || json === undefined) break
    const more = JSON.parse(json) as RunEvent[]
    events.push(...more.slice(skip))
  }
  return events.length > 0 ? { seq: after + 1, events } : undefined
}
