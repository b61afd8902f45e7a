import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { getDefaultEnvironment, StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import { StreamableHTTPClientTransport, StreamableHTTPError } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import {
  CallToolResultSchema,
  type Implementation,
  ListToolsResultSchema,
  McpError,
  ToolListChangedNotificationSchema,
} from '@modelcontextprotocol/sdk/types.js'
import type { McpServerSettings } from './file'
import type { ToolResult } from './port'
import { resultOf } from './result'

/** Milliseconds for connecting and for a page of the list of tools. */
const PATIENCE = 5000
/** Milliseconds a list of tools is good for, unless the server says before that it changed. */
const FRESH_FOR = 300_000
/** Milliseconds until a server that is away is asked again: doubled with each failure, from the first to the second. */
const BACKOFF = { least: 1000, most: 60_000 }
/** Pages of tools that are read at most. */
const PAGES = 20

/** A tool as its server describes it. */
export interface McpTool {
  name: string
  description?: string | undefined
  inputSchema: Record<string, unknown>
}

export interface McpServerDeps {
  client: Implementation
  /** Told when the server goes away, and when it is back. */
  onState: (error: Error | undefined) => void
  /** Milliseconds, of a clock that only goes forward. */
  now: () => number
}

interface McpCall {
  tool: string
  arguments: Record<string, unknown>
  timeoutMs: number
}

/** One MCP server: connected when it is first needed, and again when it was lost. */
export class McpServer {
  private connection: Promise<Client> | undefined
  private listed: { at: number; tools: Promise<McpTool[]> } | undefined
  private failures = 0
  private failure: { error: Error; until: number } | undefined
  private closed = false

  constructor(
    private readonly settings: McpServerSettings,
    private readonly deps: McpServerDeps,
  ) {}

  /** The tools it has now. @throws Error while it is away. */
  tools(): Promise<McpTool[]> {
    if (this.listed && this.deps.now() - this.listed.at < FRESH_FOR) return this.listed.tools
    const tools = this.list()
    const listed = { at: this.deps.now(), tools }
    this.listed = listed
    tools.catch(() => {
      if (this.listed === listed) this.listed = undefined
    })
    return tools
  }

  /** @throws Error when it is away or does not answer in time; the reason of `signal` when that aborts. */
  async call(call: McpCall, signal: AbortSignal): Promise<ToolResult> {
    try {
      return await this.request(call, signal)
    } catch (error) {
      // A server that was started anew does not know our session, and has not looked at the call.
      if (!isUnknownSession(error)) throw error
      await this.drop()
      return this.request(call, signal)
    }
  }

  async close(): Promise<void> {
    this.closed = true
    await this.drop()
  }

  /** Not `client.callTool`: that compiles the schemas of results, which come from the server, and we need none. */
  private async request({ tool, timeoutMs, ...call }: McpCall, signal: AbortSignal): Promise<ToolResult> {
    const client = await this.connect()
    const params = { name: tool, arguments: call.arguments }
    const options = { signal, timeout: timeoutMs, maxTotalTimeout: timeoutMs }
    try {
      return resultOf(await client.request({ method: 'tools/call', params }, CallToolResultSchema, options))
    } catch (error) {
      // What the server itself says came over a connection that works.
      if (!(error instanceof McpError) && !isUnknownSession(error) && !signal.aborted) await this.drop()
      throw error
    }
  }

  private async list(): Promise<McpTool[]> {
    const client = await this.connect()
    try {
      const tools: McpTool[] = []
      let cursor: string | undefined
      for (let page = 0; page < PAGES; page++) {
        const params = cursor === undefined ? {} : { cursor }
        const answer = await client.request({ method: 'tools/list', params }, ListToolsResultSchema, {
          timeout: PATIENCE,
        })
        tools.push(...answer.tools)
        cursor = answer.nextCursor
        if (cursor === undefined) break
      }
      this.failures = 0
      this.deps.onState(undefined)
      return tools
    } catch (error) {
      await this.drop()
      throw this.away(error)
    }
  }

  private connect(): Promise<Client> {
    if (this.closed) return Promise.reject(new Error('closed'))
    if (this.connection) return this.connection
    if (this.failure && this.deps.now() < this.failure.until) return Promise.reject(this.failure.error)
    const connection = this.open()
    this.connection = connection
    connection.catch((error) => {
      if (this.connection === connection) this.connection = undefined
      this.away(error)
    })
    return connection
  }

  private async open(): Promise<Client> {
    const client = new Client(this.deps.client, { capabilities: {} })
    client.setNotificationHandler(ToolListChangedNotificationSchema, () => {
      this.listed = undefined
    })
    try {
      await client.connect(transportOf(this.settings), { timeout: PATIENCE })
    } catch (error) {
      await client.close().catch(() => {})
      throw error
    }
    client.onclose = () => {
      this.connection = undefined
      this.listed = undefined
    }
    return client
  }

  private away(thrown: unknown): Error {
    const error = thrown instanceof Error ? thrown : new Error(String(thrown))
    const wait = Math.min(BACKOFF.most, BACKOFF.least * 2 ** this.failures++)
    this.failure = { error, until: this.deps.now() + wait }
    this.deps.onState(error)
    return error
  }

  private async drop(): Promise<void> {
    const { connection } = this
    this.connection = undefined
    this.listed = undefined
    const client = await connection?.catch(() => undefined)
    await client?.close().catch(() => {})
  }
}

/** Programs get what every program needs (PATH, HOME, …) and what the file gives them, and none of our secrets. */
function transportOf({ url, headers, command = '', args = [], env = {} }: McpServerSettings): Transport {
  // The SDK's transports have optional fields that are undefined, which this compiler's settings tell from absent ones.
  if (url)
    return new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: headers ?? {} } }) as Transport
  return new StdioClientTransport({ command, args, env: { ...getDefaultEnvironment(), ...env }, stderr: 'ignore' })
}

/** MCP 2025-06-18, "Session Management": 404 = begin a new session; servers of older SDKs say 400. */
const isUnknownSession = (error: unknown): boolean =>
  error instanceof StreamableHTTPError && (error.code === 404 || error.code === 400)
