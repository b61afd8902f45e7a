/** Sends a message over a WebSocket and reads the answer to its end, however often the connection breaks on the way. */
export async function ask(url: string, token: string, message: string, show: (text: string) => void): Promise<string> {
  // With the key, sending the message again gives what the first attempt made instead of a second answer.
  const key = crypto.randomUUID()
  let run: string | undefined
  let after = 0
  let text = ''

  /** @returns whether the answer is whole. */
  const attempt = () =>
    new Promise<boolean>((resolve, reject) => {
      const socket = new WebSocket(`${url.replace(/^http/, 'ws')}/v1/ws`, 'chat.v1')
      const send = (frame: object) => socket.send(JSON.stringify(frame))
      socket.onopen = () => {
        send({ type: 'auth', token })
        send(run ? { type: 'resume', run_id: run, after } : { type: 'chat', idempotency_key: key, message })
      }
      socket.onmessage = (received) => {
        const frame = JSON.parse(received.data)
        const error = frame.error ?? frame.data?.error
        if (frame.type === 'restart') text = '' // what was read so far comes again
        if (frame.type === 'event') {
          run = frame.run_id
          after = frame.seq
          text += frame.data.choices?.[0]?.delta.content ?? ''
          show(text)
        }
        if (error) reject(new Error(error.message))
        if (frame.type === 'done') resolve(true)
        if (error || frame.type === 'done') socket.close()
      }
      socket.onclose = () => resolve(false)
    })

  for (let tries = 1; tries <= 10; tries++) {
    if (await attempt()) return text
    await new Promise((resolve) => setTimeout(resolve, 200 * tries))
  }
  throw new Error('The server cannot be reached')
}
