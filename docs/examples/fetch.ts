import { EventSourceParserStream } from 'eventsource-parser/stream'

/** Sends a message and reads the answer to its end, however often the connection breaks on the way. */
export async function ask(url: string, token: string, message: string, show: (text: string) => void): Promise<string> {
  const authorization = `Bearer ${token}`
  // With the key, sending the message again gives what the first attempt made instead of a second answer.
  const key = crypto.randomUUID()
  let run: string | undefined
  let last = '0'
  let text = ''

  const connect = () =>
    run
      ? fetch(`${url}/v1/runs/${run}/stream`, { headers: { authorization, 'last-event-id': last } })
      : fetch(`${url}/v1/chat/completions`, {
          method: 'POST',
          headers: { authorization, 'content-type': 'application/json', 'idempotency-key': key },
          body: JSON.stringify({ message }),
        })

  for (let attempt = 1; attempt <= 10; attempt++) {
    const response = await connect().catch(() => undefined)
    // A status is an answer: it says what is wrong with the request, and repeating it would not help.
    if (response && !response.ok) throw new Error((await response.json()).error.message)
    try {
      for await (const { id, event, data } of events(response)) {
        if (data === '[DONE]') return text
        const frame = JSON.parse(data)
        if (frame.error) throw new AnswerError(frame.error.message)
        if (event === 'restart') text = '' // what was read so far comes again, in one piece
        run ??= frame.run_id
        last = id ?? last
        text += frame.choices?.[0]?.delta.content ?? ''
        show(text)
      }
    } catch (error) {
      if (error instanceof AnswerError) throw error
    }
    await new Promise((resolve) => setTimeout(resolve, 200 * attempt))
  }
  throw new Error('The server cannot be reached')
}

/** The answer itself failed: connecting again would only repeat this. */
class AnswerError extends Error {}

async function* events(response: Response | undefined) {
  const stream = response?.body?.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream())
  const reader = stream?.getReader()
  for (let next = await reader?.read(); next?.value; next = await reader?.read()) yield next.value
}
