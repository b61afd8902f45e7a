import { expect, test } from 'bun:test'
import { keptRequest } from '../../src/modules/chat/again'

const bare = { hasTools: false, keyId: undefined }
const body = { temperature: 0.5 }
const message = { role: 'user' as const, content: 'x' }

test('keeps of a turn what is not in its conversation', () => {
  expect(keptRequest({ body }, bare)).toEqual({ body })
  const turn = { body, instructions: [message], messages: [message], tools: true }
  expect(keptRequest(turn, { ...bare, keyId: 'k' })).toEqual({
    body,
    instructions: [message],
    messages: [message],
    key_id: 'k',
  })
})

test('keeps nothing of what may call tools of the server', () => {
  const hasTools = { ...bare, hasTools: true }
  expect(keptRequest({ body, tools: true }, hasTools)).toBeUndefined()
  expect(keptRequest({ body, decisions: [] }, bare)).toBeUndefined()
  expect(keptRequest({ body, tools: false }, hasTools)).toEqual({ body })
})

test('keeps nothing that is long', () => {
  const long = (length: number) => ({ body, messages: [{ ...message, content: 'x'.repeat(length) }] })
  expect(keptRequest(long(60_000), bare)).toBeDefined()
  expect(keptRequest(long(65_536), bare)).toBeUndefined()
})
