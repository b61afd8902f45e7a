/** Ways in which a provider answers wrongly; the table in tests/llm/faults.ts says what must come of each. */
import { UPSTREAM_SECRET } from './fake-provider'
import { type Api, type Frames, type Play, type Played, type Step, well } from './faulty-provider'

export const JSON_TYPE = { 'content-type': 'application/json' }
export const HTML = '<!doctype html><html><body><h1>Bad gateway at 10.0.0.7</h1></body></html>'

export const begin = ({ opening, words }: Frames): string[] => [...opening, ...words.slice(0, 3)]
export const stream =
  (play: (frames: Frames) => Step[]): Play =>
  (frames) => ({ steps: play(frames) })

/** What an error is called in the two APIs. */
interface Words {
  openai: object
  anthropic: string
}

/** An error in the provider's own words, which betray what nobody must see. */
function refusal(api: Api, message: string, words: Words): string {
  const said = `${message} (key ${UPSTREAM_SECRET}, http://10.0.0.7:4000/v1)`
  if (api === 'openai') return JSON.stringify({ error: { message: said, param: null, code: null, ...words.openai } })
  return JSON.stringify({ type: 'error', error: { type: words.anthropic, message: said }, request_id: 'req_1' })
}

const BROKE: Words = { openai: { type: 'server_error' }, anthropic: 'api_error' }
export const errorFrame = ({ api }: Frames): string =>
  `${api === 'anthropic' ? 'event: error\n' : ''}data: ${refusal(api, 'It broke', BROKE)}\n\n`

export const status =
  (code: number, words: Words = BROKE, headers: () => Record<string, string> = () => ({})): Play =>
  ({ api }) => ({
    status: code,
    headers: { ...JSON_TYPE, ...headers() },
    steps: [refusal(api, `Refused with ${code}`, words)],
  })

export const BUSY = { openai: { type: 'rate_limit_error' }, anthropic: 'rate_limit_error' }
export const KEY = { openai: { code: 'invalid_api_key' }, anthropic: 'authentication_error' }
export const LONG = { openai: { code: 'context_length_exceeded' }, anthropic: 'invalid_request_error' }
export const FILTER = { openai: { code: 'content_filter' }, anthropic: 'invalid_request_error' }

/** The first `n` requests are refused. */
export const atFirst =
  (n: number, refused: Play): Play =>
  (frames, time) =>
    time < n ? refused(frames, time) : well(frames)

export const filtered: Play = ({ api, opening, words, closing }) => {
  const [from, to] = api === 'openai' ? ['"stop"', '"content_filter"'] : ['end_turn', 'refusal']
  return { steps: [...opening, ...words, ...closing.map((frame) => frame.replace(from, to))] }
}

/** The frames that say how many tokens it took, in places where they do not belong. */
export const usageFirst: Play = ({ api, opening, words, closing }) => {
  const usage = closing.find((frame) => frame.includes('_tokens"')) ?? ''
  const early = api === 'openai' ? usage : usage.replace(/"delta":\{[^}]*\}/, '"delta":{}')
  const bare = api === 'openai' ? '' : usage.replace(/,"usage":\{[^}]*\}/, '')
  const late = closing.flatMap((frame) => (frame === usage ? (bare ? [bare] : []) : [frame]))
  return { steps: [...opening, early, ...words, ...late] }
}

/** A frame that says only how many tokens it took goes; of others, what they say of that. */
export const uncounted: Play = ({ opening, words, closing }) => {
  const bare = (frame: string) =>
    frame.includes('"choices":[]') ? '' : frame.replace(/,"usage":(\{(?:[^{}]|\{[^{}]*\})*\}|null)/g, '')
  return { steps: [...opening, ...words, ...closing].map(bare).filter(Boolean) }
}

/** More than a line may have (`MAX_LINE` in src/llm/frame-reader.ts), by more than is read at once. */
const HUGE = 'x'.repeat(6 * 1024 * 1024)
export const hugeFrame = ({ api }: Frames): string => {
  if (api === 'openai') return `data: {"choices":[{"index":0,"delta":{"content":"${HUGE}"}}]}\n\n`
  const delta = `{"type":"text_delta","text":"${HUGE}"}`
  return `event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":${delta}}\n\n`
}

/** Small pieces that respect no frame, with pauses; in all it takes longer than the provider may be silent. */
export const drip = (frames: Frames): Step[] => {
  const { steps } = well(frames) as Exclude<Played, 'silence'>
  const text = steps.join('')
  const piece = Math.ceil(text.length / 30)
  return Array.from({ length: 30 }, (_, i) => [text.slice(i * piece, (i + 1) * piece), 100]).flat()
}

export const twice = (frames: string[]): string[] => frames.flatMap((frame) => [frame, frame])

/** A whole answer that is no stream. */
export const completion: Play = ({ api }) => {
  const content = [{ type: 'text', text: 'one' }]
  const message = { id: 'msg_1', type: 'message', role: 'assistant', content, stop_reason: 'end_turn' }
  const choices = [{ index: 0, message: { role: 'assistant', content: 'one' }, finish_reason: 'stop' }]
  return { headers: JSON_TYPE, steps: [JSON.stringify(api === 'openai' ? { choices } : message)] }
}

/** What follows `begin`. */
export const rest = ({ words, closing }: Frames): string[] => [...words.slice(3), ...closing]
