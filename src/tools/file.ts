import { type Static, type TProperties, Type as t } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { nearNames } from '../lib/near'
import { type Issue, validationError } from '../lib/problems'

const strict = <T extends TProperties>(properties: T) => t.Object(properties, { additionalProperties: false })
const Texts = t.Array(t.String())
const Pairs = t.Record(t.String(), t.String())

const Server = strict({
  url: t.Optional(
    t.String({ pattern: '^https?://', 'x-must': 'must be an address that starts with http:// or https://' }),
  ),
  headers: t.Optional(Pairs),
  command: t.Optional(t.String({ minLength: 1 })),
  args: t.Optional(Texts),
  env: t.Optional(Pairs),
  tenants: t.Optional(Texts),
  tools: t.Optional(
    strict({
      allow: t.Optional(Texts),
      approve: t.Optional(t.Union([Texts, t.Literal(true)], { 'x-must': 'must be a list of tools, or true for all' })),
    }),
  ),
  timeout_s: t.Optional(t.Integer({ minimum: 1, maximum: 600 })),
})

const limit = (fallback: number, maximum: number) => t.Optional(t.Integer({ minimum: 1, maximum, default: fallback }))

const Limits = strict({
  steps: limit(8, 100),
  call_seconds: limit(30, 600),
  result_kb: limit(64, 1024),
  tools: limit(64, 512),
})

const McpFile = strict({ servers: t.Record(t.String(), Server), limits: t.Optional(Limits) })

export type McpServerSettings = Static<typeof Server>

/** What the file says, with the defaults filled in. */
export interface McpSettings {
  /** By their names, which begin the names of their tools. */
  servers: Record<string, McpServerSettings>
  limits: Required<Static<typeof Limits>>
}

/**
 * Reads the file that names the MCP servers: YAML, of which JSON is a part. `${NAME}` in a value is replaced.
 * @param variable gives the value of a name; the values appear in no problem, as they may be secrets.
 * @returns the settings, or everything that is wrong, one sentence each.
 */
export function readMcpFile(
  text: string,
  variable: (name: string) => string | undefined,
): { settings: McpSettings; problems: [] } | { settings: undefined; problems: string[] } {
  const problems: string[] = []
  const file = replaced(parsed(text, problems), variable, problems)
  if (problems.length > 0) return { settings: undefined, problems }
  // Not before: most servers have no such file.
  const checker = TypeCompiler.Compile(McpFile)
  if (!checker.Check(file)) return { settings: undefined, problems: mistakes(checker.Errors(file)) }
  for (const [name, server] of Object.entries(file.servers)) problems.push(...contradictions(name, server))
  if (problems.length > 0) return { settings: undefined, problems }
  const limits = { steps: 8, call_seconds: 30, result_kb: 64, tools: 64, ...file.limits }
  return { settings: { servers: file.servers, limits }, problems: [] }
}

function parsed(text: string, problems: string[]): unknown {
  try {
    return Bun.YAML.parse(text)
  } catch (error) {
    problems.push(`is neither YAML nor JSON: ${error instanceof Error ? error.message : 'it could not be read'}`)
    return undefined
  }
}

/** The same value with the variables in its texts replaced. */
function replaced(value: unknown, variable: (name: string) => string | undefined, problems: string[]): unknown {
  if (typeof value === 'string') {
    return value.replaceAll(/\$\{(\w+)\}/g, (_, name: string) => {
      const found = variable(name)
      if (found === undefined) problems.push(`names \${${name}}, which is not set`)
      return found ?? ''
    })
  }
  if (Array.isArray(value)) return value.map((item) => replaced(item, variable, problems))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, replaced(item, variable, problems)]))
}

const KEYS = [McpFile, Server, Limits].flatMap(({ properties }) => Object.keys(properties)).concat('allow', 'approve')

function mistakes(issues: Iterable<Issue>): string[] {
  const { details } = validationError('file', issues)
  const { fields } = details as { fields: { path: string; message: string }[] }
  return fields.map(({ path, message }) => {
    if (!message.startsWith('unexpected property')) return `${path}: ${message}`
    const [near] = nearNames(path.split('.').at(-1) ?? '', KEYS, 1)
    return `${path}: there is no such setting${near ? `, did you mean ${near}?` : ''}`
  })
}

/** What a schema cannot say. */
function contradictions(name: string, { url, headers, command, args, env }: McpServerSettings): string[] {
  const problems: string[] = []
  const say = (text: string) => problems.push(`servers.${name}: ${text}`)
  // Two underscores end the server's name in the name of a tool.
  if (!/^[a-z0-9](?:[a-z0-9-]{0,28}[a-z0-9])?$/i.test(name)) {
    say('a name is 1 to 30 letters, digits and hyphens, and begins and ends with a letter or digit')
  }
  if (Boolean(url) === Boolean(command)) say('needs either a url or a command')
  if (url && !URL.canParse(url)) say('the url is none')
  if (url && (args || env)) say('args and env belong to a command')
  if (command && headers) say('headers belong to a url')
  return problems
}
