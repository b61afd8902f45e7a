import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { Seal } from '../../src/lib/seal'

const seal = new Seal('a secret of the server, long enough')

test('gives back any text, for the same place', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.array(fc.string()), (text, place) => {
      expect(seal.open(seal.seal(text, ...place), ...place)).toBe(text)
    }),
  )
})

test('seals the same text differently each time, and shows nothing of it', () => {
  const one = seal.seal('sk-secret-key', 'tenant', 'openai')
  expect(one).not.toBe(seal.seal('sk-secret-key', 'tenant', 'openai'))
  expect(one).toMatch(/^v1\.[\w-]+$/)
  expect(Buffer.from(one.slice(3), 'base64url').toString('latin1')).not.toContain('secret')
})

test('opens nothing at another place, however its words are cut', () => {
  const sealed = seal.seal('key', 'ab', 'c')
  for (const place of [['a', 'bc'], ['abc'], ['ab', 'c', ''], ['c', 'ab'], ['AB', 'c'], []]) {
    expect(seal.open(sealed, ...place)).toBeUndefined()
  }
})

test('opens nothing with another key', () => {
  const sealed = seal.seal('key', 'place')
  expect(new Seal('another secret of the server, as long').open(sealed, 'place')).toBeUndefined()
  expect(new Seal('a secret of the server, long enough').open(sealed, 'place')).toBe('key')
})

test('opens nothing that was changed, cut or made up', () => {
  const sealed = seal.seal('sk-secret-key', 'place')
  const bytes = Buffer.from(sealed.slice(3), 'base64url')
  for (let i = 0; i < bytes.length; i++) {
    const changed = Buffer.from(bytes)
    changed.writeUInt8(changed.readUInt8(i) ^ 1, i)
    expect(seal.open(`v1.${changed.toString('base64url')}`, 'place')).toBeUndefined()
    expect(seal.open(`v1.${bytes.subarray(0, i).toString('base64url')}`, 'place')).toBeUndefined()
  }
  for (const text of ['', 'v1.', 'v2.abc', 'sk-in-plain', `v1.${'a'.repeat(100_000)}`]) {
    expect(seal.open(text, 'place')).toBeUndefined()
  }
})

test('gives back any bytes, none as well', () => {
  for (const bytes of [new Uint8Array(), new Uint8Array([0, 255, 128])]) {
    expect(seal.openBytes(seal.sealBytes(bytes, 'place'), 'place')).toEqual(Buffer.from(bytes))
    expect(seal.openBytes(seal.sealBytes(bytes, 'place'), 'other')).toBeUndefined()
  }
})
