import { AppError } from '../../errors'
import type { ChatMessage } from '../../llm/port'
import type { Params } from './request'

/** Bytes an image may have: what every provider takes. */
const MAX_IMAGE = 20 * 1024 * 1024
/** Levels of a schema that are looked at. */
const DEPTH = 20

interface Wrong {
  path: string
  message: string
}

/** Images and tools that no provider would take. @throws AppError VALIDATION_ERROR naming each. */
export function checkInputs(messages: ChatMessage[], { tools }: Params): void {
  const wrong = [...messages.flatMap(wrongImages), ...wrongTools(tools)].slice(0, 20)
  const [first] = wrong
  if (!first) return
  throw new AppError('VALIDATION_ERROR', `${first.path}: ${first.message}`, { details: { in: 'body', fields: wrong } })
}

function wrongImages({ content }: ChatMessage, i: number): Wrong[] {
  if (!Array.isArray(content)) return []
  return content.flatMap((part: unknown, j) => {
    if (!isRecord(part) || part.type !== 'image_url') return []
    const url = isRecord(part.image_url) ? part.image_url.url : part.image_url
    const message = typeof url === 'string' ? wrongImage(url) : 'must be an address or a data URL'
    return message ? [{ path: `messages.${i}.content.${j}.image_url.url`, message }] : []
  })
}

function wrongImage(url: string): string | undefined {
  if (/^https?:\/\//i.test(url)) return undefined
  const [head, said] = /^data:image\/([\w+.-]+);base64,/i.exec(url) ?? []
  if (!head || !said) return 'must be an http(s) address, or a data URL of an image in base64'
  const length = url.length - head.length
  if (length * 0.75 > MAX_IMAGE) return `must be an image of at most ${MAX_IMAGE / 1024 / 1024} MB`
  const kind = kindOf(Buffer.from(url.slice(head.length, head.length + 32), 'base64'))
  if (!kind) return 'is no image: it must be a PNG, a JPEG, a GIF or a WebP'
  return kind === said.toLowerCase().replace('jpg', 'jpeg') ? undefined : `is called ${said} and is a ${kind}`
}

/** What the first bytes of a file say it is. */
function kindOf(bytes: Buffer): string | undefined {
  const text = bytes.toString('latin1')
  if (text.startsWith('\x89PNG\r\n\x1a\n')) return 'png'
  if (text.startsWith('\xff\xd8\xff')) return 'jpeg'
  if (/^GIF8[79]a/.test(text)) return 'gif'
  return /^RIFF....WEBP/s.test(text) ? 'webp' : undefined
}

/** Tools that are no functions are a provider's own, and its matter. */
function wrongTools(tools: unknown): Wrong[] {
  if (tools === undefined || tools === null) return []
  if (!Array.isArray(tools)) return [{ path: 'tools', message: 'must be a list' }]
  return tools.flatMap((tool: unknown, i) => {
    const path = `tools.${i}`
    if (!isRecord(tool) || typeof tool.type !== 'string') return [{ path, message: 'must be an object with a type' }]
    if (tool.type !== 'function') return []
    const { function: said } = tool
    if (!isRecord(said) || typeof said.name !== 'string' || !said.name) {
      return [{ path: `${path}.function`, message: 'must be an object with a name' }]
    }
    return said.parameters == null ? [] : wrongParameters(said.parameters, `${path}.function.parameters`)
  })
}

function wrongParameters(schema: unknown, path: string): Wrong[] {
  if (!isRecord(schema)) return [{ path, message: 'must be a JSON Schema: an object' }]
  const { type } = schema
  if (type !== undefined && type !== 'object') return [{ path: `${path}.type`, message: 'must be "object"' }]
  return wrongSchema(schema, { path, depth: DEPTH })
}

const TYPES = ['object', 'array', 'string', 'number', 'integer', 'boolean', 'null']
const isType = (type: unknown) => typeof type === 'string' && TYPES.includes(type)

/** The parts of JSON Schema (2020-12) that a misspelling breaks; the rest is the provider's to judge. */
function wrongSchema(schema: unknown, { path, depth }: { path: string; depth: number }): Wrong[] {
  if (typeof schema === 'boolean' || depth === 0) return []
  if (!isRecord(schema)) return [{ path, message: 'must be a schema: an object, true or false' }]
  const { type, properties, required, items } = schema
  const wrong: Wrong[] = []
  if (type !== undefined && !(Array.isArray(type) ? type.every(isType) : isType(type))) {
    wrong.push({ path: `${path}.type`, message: `must be one of ${TYPES.join(', ')}` })
  }
  if (required !== undefined && !(Array.isArray(required) && required.every((name) => typeof name === 'string'))) {
    wrong.push({ path: `${path}.required`, message: 'must be a list of names' })
  }
  if (properties !== undefined && !isRecord(properties)) {
    wrong.push({ path: `${path}.properties`, message: 'must be an object of schemas' })
  }
  const inner = isRecord(properties) ? Object.entries(properties) : []
  for (const [name, property] of inner) {
    wrong.push(...wrongSchema(property, { path: `${path}.properties.${name}`, depth: depth - 1 }))
  }
  if (isRecord(items)) wrong.push(...wrongSchema(items, { path: `${path}.items`, depth: depth - 1 }))
  return wrong
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
