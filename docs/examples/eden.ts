import { treaty } from '@elysiajs/eden'
import type { App } from '../../src/app'

/** What arrives for each frame of a stream: Eden has parsed the JSON. */
interface Frame {
  id?: number
  data: '[DONE]' | { choices?: { delta: { content?: string } }[]; error?: { message: string } }
}

/** Signs up, asks something, and lists the conversations there are. */
export async function tour(url: string, email: string, password: string) {
  // Eden would turn everything that looks like a date into a Date, in the middle of a chat text as well.
  const options = { parseDate: false }

  const account = await treaty<App>(url, options).api.v1.auth.register.post({ email, password })
  if (account.error) throw new Error(`Signing up failed: ${JSON.stringify(account.error.value)}`)
  const headers = { authorization: `Bearer ${account.data.tokens.access_token}` }
  const api = treaty<App>(url, { ...options, headers })

  const answer = await api.v1.chat.completions.post({ message: 'Hello' })
  if (answer.error) throw new Error(`Chatting failed: ${JSON.stringify(answer.error.value)}`)
  let text = ''
  // The type says Response; for an event stream Eden gives what it has read from it.
  for await (const { data } of answer.data as unknown as AsyncIterable<Frame>) {
    if (data === '[DONE]') break
    if (data.error) throw new Error(data.error.message)
    text += data.choices?.[0]?.delta.content ?? ''
  }

  const list = await api.v1.conversations.get({ query: { limit: 20 } })
  if (list.error) throw new Error(`Listing failed: ${JSON.stringify(list.error.value)}`)
  const titles: string[] = list.data.data.items.map(({ title }) => title)
  return { text, titles }
}
