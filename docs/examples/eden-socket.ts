import { treaty } from '@elysiajs/eden'
import type { App } from '../../src/app'

/** Asks all of these at once over one connection. @returns the answers, in the same order. */
export function askAll(url: string, token: string, messages: string[]): Promise<string[]> {
  const socket = treaty<App>(url, { parseDate: false }).v1.ws.subscribe()
  const answers = messages.map(() => '')
  let open = messages.length
  return new Promise<string[]>((resolve, reject) => {
    socket.on('open', () => socket.send({ type: 'auth', token }))
    socket.on('close', () => reject(new Error('The connection broke: connect again, and resume')))
    // The compiler knows every frame by its type.
    socket.subscribe(({ data: frame }) => {
      if (frame.type === 'ready') {
        for (const [i, message] of messages.entries()) socket.send({ type: 'chat', id: `${i}`, message })
      }
      if (frame.type === 'event') answers[Number(frame.id)] += frame.data.choices?.[0]?.delta.content ?? ''
      if (frame.type === 'restart') answers[Number(frame.id)] = '' // what was read so far comes again
      if (frame.type === 'done' && --open === 0) resolve(answers)
      const error = frame.type === 'error' ? frame.error : frame.type === 'event' ? frame.data.error : undefined
      if (error) reject(new Error(error.message))
    })
  }).finally(() => socket.close())
}
