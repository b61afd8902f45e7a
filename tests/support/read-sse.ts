import { createParser } from 'eventsource-parser'

export interface Frame {
  id: number | undefined
  event: string | undefined
  /** Parsed JSON, or the string `[DONE]`. */
  data: FrameData
}

// A test looks into these with `?.`; what is not there makes its expectation fail.
export type FrameData = {
  choices?: {
    index: number
    delta: Record<string, unknown>
    finish_reason: string | null
  }[]
  error?: { message: string; code: string | null }
  [key: string]: unknown
}

/** Reads a stream to its end (or until `stop` says so) with an independent parser. */
export async function readSse(response: Response, stop: (frames: Frame[]) => boolean = () => false) {
  const frames: Frame[] = []
  let done = false
  let comments = 0
  const parser = createParser({
    onEvent: ({ id, event, data }) => {
      if (data === '[DONE]') done = true
      else
        frames.push({
          id: id === undefined ? undefined : Number(id),
          event,
          data: JSON.parse(data),
        })
    },
    onComment: () => {
      comments++
    },
  })
  const reader = response.body?.getReader()
  const decoder = new TextDecoder()
  while (reader) {
    const { value, done: ended } = await reader.read()
    if (ended) break
    parser.feed(decoder.decode(value, { stream: true }))
    if (stop(frames)) {
      await reader.cancel()
      break
    }
  }
  return { frames, done, comments, text: textOf(frames) }
}

/** The text of choice 0. */
export const textOf = (frames: Frame[]): string =>
  frames.map(({ data }) => data.choices?.find(({ index }) => index === 0)?.delta.content ?? '').join('')
