import { expect, test } from 'bun:test'
import { seal, unseal } from '../../src/lib/seal'

const key = new Uint8Array(32).fill(1)
const secret = new TextEncoder().encode('a secret')

test('opens with the same key, about the same thing', () => {
  const sealed = seal(key, secret, 'this')
  expect(Buffer.from(sealed).includes('secret')).toBe(false)
  expect(unseal(key, sealed, 'this')).toEqual(Buffer.from(secret))
  expect(unseal(key, seal(key, new Uint8Array(), 'this'), 'this')).toEqual(Buffer.from(''))
})

test('looks different each time', () => {
  expect(seal(key, secret, 'this')).not.toEqual(seal(key, secret, 'this'))
})

test('does not open with another key, about another thing, or changed', () => {
  const sealed = seal(key, secret, 'this')
  expect(unseal(new Uint8Array(32), sealed, 'this')).toBeUndefined()
  expect(unseal(key, sealed, 'that')).toBeUndefined()
  for (const at of [0, 13, sealed.length - 1]) {
    const changed = Uint8Array.from(sealed, (byte, i) => (i === at ? byte ^ 1 : byte))
    expect(unseal(key, changed, 'this')).toBeUndefined()
  }
  expect(unseal(key, new Uint8Array(3), 'this')).toBeUndefined()
})
