/** What a provider can do to us, and what must come of it: the table behind `bun run faults` and faults.test.ts. */
import type { ErrorCode } from '../../src/errors'
import type { Timeouts } from '../../src/llm/deadlines'
import {
  atFirst,
  BUSY,
  begin,
  completion,
  drip,
  errorFrame,
  FILTER,
  filtered,
  HTML,
  hugeFrame,
  KEY,
  LONG,
  rest,
  status,
  stream,
  twice,
  uncounted,
  usageFirst,
} from '../support/fault-plays'
import { type Play, well } from '../support/faulty-provider'

/** What a provider that is well answers. */
export const WHOLE = 'one two three four five six'
/** What is said of it before a fault in the middle. */
export const BEGUN = 'one two three'

/**
 * When a fault strikes decides what is to be done. `before` the first word: the next one is asked, and nobody sees it.
 * In the `middle`: the answer goes on, begins anew or ends with an error. `harmless`: nothing is missing.
 * `answer`: it is no fault but what the provider has to say, and nobody else is asked.
 */
export type When = 'before' | 'middle' | 'harmless' | 'answer'

export interface Fault {
  name: string
  when: When
  /** What the provider does; absent when there is none at that address. */
  play?: Play
  /** What a client is told when nobody else is there; absent when the answer is whole all the same. */
  error?: ErrorCode
  /** How often the provider is asked when nobody else is there; default: once. */
  asked?: number
  /** What the provider is allowed, where that is less than is usual here. */
  limits?: Partial<Timeouts>
  /** Seconds that a client without another provider is asked to wait. */
  retryAfter?: number
  /** Why the answer ended, when not because all was said. */
  reason?: 'content_filter'
  /** The provider counted no tokens: this server does. */
  uncounted?: true
}

/** Milliseconds: more than a busy machine takes for an answer, and short enough to wait for. */
const SHORT = 400
const BEFORE: Omit<Fault, 'when'>[] = [
  { name: 'refuses connections', error: 'UPSTREAM_UNAVAILABLE' },
  { name: 'hangs before its headers', play: () => 'silence', error: 'UPSTREAM_TIMEOUT', limits: { connect: SHORT } },
  {
    name: 'hangs before its first frame',
    play: stream(() => ['silence']),
    error: 'UPSTREAM_TIMEOUT',
    limits: { firstToken: SHORT },
  },
  {
    name: 'hangs before its first word',
    play: stream(({ opening }) => [...opening, 'silence']),
    error: 'UPSTREAM_TIMEOUT',
    limits: { firstToken: SHORT, idle: SHORT },
  },
  {
    name: 'says only that it is there',
    play: stream(() => Array.from({ length: 100 }, () => [': keep-alive\n\n', 50]).flat()),
    error: 'UPSTREAM_TIMEOUT',
    limits: { firstToken: SHORT },
  },
  {
    name: 'closes before its first word',
    play: stream(({ opening }) => [...opening, 'close']),
    error: 'UPSTREAM_UNAVAILABLE',
    asked: 3,
  },
  { name: 'sends an error first', play: stream((frames) => [errorFrame(frames)]), error: 'UPSTREAM_ERROR', asked: 3 },
  {
    name: '429 for 30 seconds',
    play: status(429, BUSY, () => ({ 'retry-after': '30' })),
    error: 'RATE_LIMIT_EXCEEDED',
    retryAfter: 30,
  },
  {
    name: '429 until a date',
    play: status(429, BUSY, () => ({ 'retry-after': new Date(Date.now() + 30_000).toUTCString() })),
    error: 'RATE_LIMIT_EXCEEDED',
    retryAfter: 30,
  },
  {
    name: '429 for a second, once',
    play: atFirst(
      1,
      status(429, BUSY, () => ({ 'retry-after': '1' })),
    ),
    asked: 2,
  },
  { name: '500 every time', play: status(500), error: 'UPSTREAM_ERROR', asked: 3 },
  { name: '500 twice', play: atFirst(2, status(500)), asked: 3 },
  { name: '503 every time', play: status(503), error: 'UPSTREAM_UNAVAILABLE', asked: 3 },
  { name: '401', play: status(401, KEY), error: 'UPSTREAM_ERROR' },
  {
    name: 'a web page',
    play: () => ({ headers: { 'content-type': 'text/html' }, steps: [HTML] }),
    error: 'UPSTREAM_ERROR',
    asked: 3,
  },
  {
    name: 'a web page with 502',
    play: () => ({ status: 502, headers: { 'content-type': 'text/html' }, steps: [HTML] }),
    error: 'UPSTREAM_ERROR',
    asked: 3,
  },
  { name: 'a body in place of a stream', play: completion, error: 'UPSTREAM_ERROR', asked: 3 },
  { name: 'an empty stream', play: stream(() => []), error: 'UPSTREAM_ERROR', asked: 3 },
  { name: 'no JSON', play: stream(() => ['data: {"choices":[{\n\n']), error: 'UPSTREAM_ERROR', asked: 3 },
  { name: 'a huge frame', play: stream((frames) => [hugeFrame(frames)]), error: 'UPSTREAM_ERROR', asked: 3 },
  {
    name: 'sends us elsewhere',
    play: () => ({ status: 307, headers: { location: '/elsewhere' }, steps: [] }),
    error: 'UPSTREAM_UNAVAILABLE',
    asked: 3,
  },
]

const MIDDLE: Omit<Fault, 'when'>[] = [
  {
    name: 'hangs in the middle',
    play: stream((frames) => [...begin(frames), 'silence']),
    error: 'UPSTREAM_TIMEOUT',
    limits: { idle: SHORT },
  },
  { name: 'ends in the middle', play: stream(begin), error: 'UPSTREAM_ERROR' },
  {
    name: 'ends inside a frame',
    play: stream((frames) => [...begin(frames), frames.words[3]?.slice(0, 60) ?? '']),
    error: 'UPSTREAM_ERROR',
  },
  {
    name: 'closes in the middle',
    play: stream((frames) => [...begin(frames), 'close']),
    error: 'UPSTREAM_UNAVAILABLE',
  },
  {
    name: 'resets in the middle',
    play: stream((frames) => [...begin(frames), 'reset']),
    error: 'UPSTREAM_UNAVAILABLE',
  },
  {
    name: 'an error in the middle',
    play: stream((frames) => [...begin(frames), errorFrame(frames)]),
    error: 'UPSTREAM_ERROR',
  },
  {
    name: 'no JSON in the middle',
    play: stream((frames) => [...begin(frames), 'data: <html>\n\n', ...frames.closing]),
    error: 'UPSTREAM_ERROR',
  },
  {
    name: 'a huge frame in the middle',
    play: stream((frames) => [...begin(frames), hugeFrame(frames)]),
    error: 'UPSTREAM_ERROR',
  },
]

const HARMLESS: Omit<Fault, 'when'>[] = [
  { name: 'nothing', play: well },
  {
    name: 'all but the words twice',
    play: stream(({ opening, words, closing }) => [...twice(opening), ...words, ...twice(closing)]),
  },
  {
    name: 'two beginnings',
    play: stream(({ opening, words, closing }) => [opening[0] ?? '', ...opening, ...words, ...closing]),
  },
  { name: 'usage before the words', play: usageFirst },
  { name: 'no usage', play: uncounted, uncounted: true },
  { name: 'no last frame', play: stream((frames) => [...begin(frames), ...rest(frames).slice(0, -1)]) },
  {
    name: 'silence in place of the last frame',
    play: stream((frames) => [...begin(frames), ...rest(frames).slice(0, -1), 'silence']),
    limits: { idle: SHORT },
  },
  {
    name: 'a reset in place of the last frame',
    play: stream((frames) => [...begin(frames), ...rest(frames).slice(0, -1), 'reset']),
  },
  { name: 'a slow drip', play: stream(drip), limits: { idle: 2500 } },
]

const ANSWERS: Omit<Fault, 'when'>[] = [
  { name: '400, too long a context', play: status(400, LONG), error: 'BAD_REQUEST' },
  { name: '400, a content filter', play: status(400, FILTER), error: 'BAD_REQUEST' },
  { name: 'a content filter', play: filtered, reason: 'content_filter' },
]

const when = (when: When, faults: Omit<Fault, 'when'>[]): Fault[] => faults.map((fault) => ({ ...fault, when }))

export const FAULTS: Fault[] = [
  ...when('before', BEFORE),
  ...when('middle', MIDDLE),
  ...when('harmless', HARMLESS),
  ...when('answer', ANSWERS),
]
