import { createHash } from 'node:crypto'
import { ErrorCode, McpError } from '@modelcontextprotocol/sdk/types.js'
import type { McpServerSettings, McpSettings } from './file'
import { McpServer, type McpTool } from './mcp-server'
import type { Tool, ToolBox, ToolCalled, ToolOwner, ToolResult } from './port'

/** Milliseconds an answer waits for the lists of servers. */
const PATIENCE = 3000
/** Characters of a name, and of a description: what the OpenAI API takes. */
const NAME_LENGTH = 64
const DESCRIPTION_LENGTH = 1024
/** Bytes of a tool's schema. */
const SCHEMA_BYTES = 20_000

export interface McpOptions extends McpSettings {
  version: string
  log: (level: 'info' | 'warn' | 'debug', facts: object, message: string) => void
  /** Milliseconds, of a clock that only goes forward. */
  now?: () => number
}

interface Offered extends Tool {
  server: string
  /** The server's own name for it. */
  tool: string
}

interface Server {
  name: string
  settings: McpServerSettings
  connection: McpServer
}

/** The tools of the MCP servers that the operator listed. Callers choose neither servers nor addresses. */
export class McpTools implements ToolBox {
  private readonly servers: Server[]
  /** What was said in the log, so that each thing is said once. */
  private readonly said = new Set<string>()

  constructor(private readonly options: McpOptions) {
    const client = { name: 'ai-chat-orchestrator', version: options.version }
    const { now = () => performance.now() } = options
    this.servers = Object.entries(options.servers).map(([name, settings]) => {
      const onState = (error: Error | undefined) => this.onState(name, error)
      return { name, settings, connection: new McpServer(settings, { client, onState, now }) }
    })
  }

  async list(owner: ToolOwner): Promise<Tool[]> {
    return this.offered(owner)
  }

  async call(owner: ToolOwner, { name, arguments: args }: ToolCalled, signal: AbortSignal): Promise<ToolResult> {
    const tool = (await this.offered(owner)).find(({ definition }) => definition.function.name === name)
    const server = this.servers.find((one) => one.name === tool?.server)
    if (!tool || !server) return { content: 'There is no such tool now.', isError: true }
    const begun = performance.now()
    let failed = true
    try {
      const call = { tool: tool.tool, arguments: args, timeoutMs: tool.timeoutMs }
      const result = await server.connection.call(call, signal)
      failed = result.isError
      return result
    } catch (error) {
      signal.throwIfAborted()
      return { content: failureOf(error), isError: true }
    } finally {
      const facts = { server: server.name, tool: tool.tool, ms: Math.round(performance.now() - begun), failed }
      this.options.log('debug', facts, 'tool call')
    }
  }

  /** How to see, per server, whether it is there: what `/health` does. */
  checks(): { name: string; check: () => Promise<unknown> }[] {
    return this.servers.map(({ name, connection }) => ({ name, check: () => connection.tools() }))
  }

  async close(): Promise<void> {
    await Promise.all(this.servers.map(({ connection }) => connection.close()))
  }

  private async offered({ tenantId }: ToolOwner): Promise<Offered[]> {
    const mine = this.servers.filter(({ settings: { tenants } }) => !tenants || tenants.includes(tenantId))
    const lists = await Promise.all(mine.map((server) => this.toolsOf(server)))
    const tools = new Map<string, Offered>()
    for (const tool of lists.flat()) {
      const { name } = tool.definition.function
      if (!tools.has(name)) tools.set(name, tool)
    }
    const most = this.options.limits.tools
    if (tools.size > most)
      this.once('limit', { tools: tools.size, most }, 'there are more tools than limits.tools allows')
    return [...tools.values()].slice(0, most)
  }

  /** None while the server is away, or when it takes its time: an answer does not wait for it. */
  private async toolsOf({ name, settings, connection }: Server): Promise<Offered[]> {
    let timer: ReturnType<typeof setTimeout> | undefined
    const late = new Promise<McpTool[]>((resolve) => {
      timer = setTimeout(resolve, PATIENCE, [])
    })
    const tools = await Promise.race([connection.tools().catch((): McpTool[] => []), late])
    clearTimeout(timer)
    this.checkNames(name, settings, tools)
    const { allow, approve } = settings.tools ?? {}
    return tools
      .filter((tool) => (!allow || allow.includes(tool.name)) && this.isSound(name, tool))
      .map((tool) => ({
        server: name,
        tool: tool.name,
        definition: definitionOf(name, tool),
        approve: approve === true || (approve?.includes(tool.name) ?? false),
        timeoutMs: 1000 * (settings.timeout_s ?? this.options.limits.call_seconds),
      }))
  }

  private isSound(server: string, { name, inputSchema }: McpTool): boolean {
    const bytes = Buffer.byteLength(JSON.stringify(inputSchema))
    const { type, properties = {} } = inputSchema
    const isSchema = type === 'object' && typeof properties === 'object' && !Array.isArray(properties)
    if (isSchema && bytes <= SCHEMA_BYTES) return true
    this.once(`schema ${server} ${name}`, { server, tool: name, bytes }, 'a tool without a sound schema is left out')
    return false
  }

  /** A name that is written wrong would leave a tool without the approval it was to have. */
  private checkNames(
    server: string,
    { tools: { allow = [], approve = [] } = {} }: McpServerSettings,
    tools: McpTool[],
  ) {
    if (tools.length === 0) return
    const names = [...allow, ...(approve === true ? [] : approve)]
    for (const tool of names.filter((name) => !tools.some((one) => one.name === name))) {
      this.once(`name ${server} ${tool}`, { server, tool }, 'MCP_FILE names a tool that the server does not have')
    }
  }

  private onState(server: string, error: Error | undefined): void {
    const key = `away ${server}`
    if (error)
      this.once(key, { server, error: error.message.slice(0, 300) }, 'an MCP server is away, its tools are left out')
    else if (this.said.delete(key)) this.options.log('info', { server }, 'an MCP server is back')
  }

  private once(key: string, facts: object, message: string): void {
    if (this.said.has(key)) return
    this.said.add(key)
    this.options.log('warn', facts, message)
  }
}

function definitionOf(server: string, { name, description, inputSchema }: McpTool): Tool['definition'] {
  // Which edition of JSON Schema it is: some providers refuse the key.
  const { $schema, ...parameters } = inputSchema
  return {
    type: 'function',
    function: {
      name: toolName(server, name),
      ...(description ? { description: description.slice(0, DESCRIPTION_LENGTH) } : {}),
      parameters,
    },
  }
}

/** `server__tool` in letters that every provider takes; a name that is too long ends with a hash of itself. */
export function toolName(server: string, tool: string): string {
  const name = `${server}__${tool.replaceAll(/[^\w-]/g, '_')}`
  if (name.length <= NAME_LENGTH) return name
  return `${name.slice(0, NAME_LENGTH - 9)}_${createHash('sha256').update(tool).digest('hex').slice(0, 8)}`
}

/** For the model. What broke is for the log: it may name hosts and programs. */
function failureOf(error: unknown): string {
  const code = error instanceof McpError ? error.code : ErrorCode.ConnectionClosed
  if (code === ErrorCode.RequestTimeout) return 'The tool did not answer in time.'
  if (code === ErrorCode.ConnectionClosed || !(error instanceof Error)) return 'The tool is away.'
  return error.message.slice(0, 1000)
}
