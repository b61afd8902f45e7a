/**
 * A process that goes on with an answer of a dead one writes a log of its own: the dead one may only be slow, and two pens in one log
 * would garble it. The logs of a run agree on their first event, number 1; what follows in a later log has numbers beyond all that
 * an earlier one can have given, and begins with a restart.
 */

/** More events than an answer can have. */
const GAP = 10_000_000

interface Part {
  id: string
  /** How often another process went on with it. */
  continued: number
}

/** What the log of a run is called that counts now. */
export const logOf = ({ id, continued }: Part): string => (continued > 0 ? `${id}:${continued}` : id)

/** How many numbers a log leaves out behind its first event. */
export const gapOf = (logId: string): number => GAP * Number(logId.split(':')[1] ?? 0)

/** The number of the event at this place, counted from 0. */
export const numberAt = (place: number, gap: number): number => (place === 0 ? 1 : place + 1 + gap)

/** How many events of a log a reader has who has those up to this number, of this log or an earlier one. */
export const placeAfter = (number: number, gap: number): number => (number === 0 ? 0 : Math.max(1, number - gap))
