import { expect, test } from 'bun:test'
import { validationError } from '../../src/lib/problems'

test('names each field once, by its path, with the first thing that is wrong with it', () => {
  const error = validationError('body', [
    { path: '/user/name', message: 'Expected string' },
    { path: '/user/name', message: 'Expected string length greater or equal to 1' },
    { path: '/tags/0', message: 'Expected number' },
  ])
  expect(error).toMatchObject({ code: 'VALIDATION_ERROR', status: 422, message: 'user.name: expected string' })
  expect(error.details).toEqual({
    in: 'body',
    fields: [
      { path: 'user.name', message: 'expected string' },
      { path: 'tags.0', message: 'expected number' },
    ],
  })
})

test('says what a format means, not what it is called', () => {
  const fields = ['uuid', 'email', 'date-time'].map((format) => ({
    path: `/${format}`,
    message: `Expected string to match '${format}' format`,
    schema: { format },
  }))
  expect(validationError('params', fields).details).toMatchObject({
    fields: [
      { message: 'must be a UUID' },
      { message: 'must be an e-mail address' },
      { message: 'must be a time, such as 2026-11-21T10:00:00Z' },
    ],
  })
})

test('says what a text of a query has to be, and which fields there are', () => {
  const message = 'Expected union value'
  const issues = [
    { path: '/page', message, schema: { anyOf: [{ type: 'string', format: 'numeric' }, { type: 'number' }] } },
    { path: '/pinned', message, schema: { anyOf: [{ type: 'boolean' }, { type: 'string', format: 'boolean' }] } },
    { path: '/title', message: "Expected string to match '\\S'", schema: { type: 'string', pattern: '\\S' } },
    { path: '/name', message: 'Expected string length less or equal to 9', schema: { type: 'string', pattern: '\\S' } },
    {
      path: '',
      message: 'Expected object to have at least 1 properties',
      schema: { minProperties: 1, properties: { title: {}, tags: {} } },
    },
  ]
  expect(validationError('query', issues).details).toMatchObject({
    fields: [
      { message: 'must be a number' },
      { message: 'must be true or false' },
      { message: 'must be a text that is not blank' },
      { message: 'expected string length less or equal to 9' },
      { message: 'must have at least one of title, tags' },
    ],
  })
})

test('says what a pattern means, where the schema has words for it', () => {
  const schema = { pattern: '^[a-z]$', 'x-must': 'must be a letter' }
  const message = "Expected string to match '^[a-z]$'"
  expect(validationError('body', [{ path: '/a', message, schema }]).message).toBe('a: must be a letter')
})

test('says what a value that may be null has to be otherwise', () => {
  const nullable = (schema: object) => ({ anyOf: [schema, { type: 'null' }] })
  const message = 'Expected union value'
  const issues = [
    { path: '/id', message, schema: nullable({ type: 'string', format: 'uuid' }) },
    { path: '/n', message, schema: nullable({ type: 'number' }) },
    { path: '/either', message, schema: { anyOf: [{ type: 'string' }, { type: 'number' }, { type: 'null' }] } },
  ]
  expect(validationError('body', issues).details).toMatchObject({
    fields: [
      { message: 'must be a UUID' },
      { message: 'must be of type number and within its limits, or null' },
      { message: 'expected union value' },
    ],
  })
})

test('speaks of the whole when no field is to blame', () => {
  expect(validationError('query', []).message).toBe('The query is not valid')
  expect(validationError('body', [{ path: '', message: 'Expected object' }]).message).toBe('body: expected object')
  expect(validationError('body', [{ path: '/a' }]).message).toBe('a: is not valid')
})

test('stops after twenty fields', () => {
  const issues = Array.from({ length: 500 }, (_, i) => ({ path: `/${i}`, message: 'Bad' }))
  expect(validationError('body', issues).details).toMatchObject({ fields: { length: 20 } })
})

test('repeats no value, whatever the checker knows of it', () => {
  const issue = { path: '/password', message: 'Expected string', value: 'hush', schema: { const: 'hush' } }
  expect(JSON.stringify({ ...validationError('body', [issue]) })).not.toContain('hush')
})
