/**
 * A tiny MCP server for tests: `bun tests/support/mcp-server.ts` speaks stdio, `startMcpServer` Streamable HTTP. Its tools:
 * echo (says its `text`), slow (says "done" after `ms`), big (`kb` kilobytes of x), fail (an error result), throw (an
 * error of the protocol), odd.name (a name that providers refuse), env (the variable `name`), exit (ends the program).
 */
import { Server } from '@modelcontextprotocol/sdk/server/index.js'
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js'
import { WebStandardStreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import {
  CallToolRequestSchema,
  type CallToolResult,
  ListToolsRequestSchema,
  type Tool,
} from '@modelcontextprotocol/sdk/types.js'

export interface McpCall {
  name: string
  arguments: Record<string, unknown>
  /** The caller gave up. */
  aborted: boolean
}

const tool = (name: string, properties: Record<string, object> = {}): Tool => ({
  name,
  description: `The tool ${name}`,
  inputSchema: { type: 'object', properties },
})

const TOOLS = [
  tool('echo', { text: { type: 'string' } }),
  tool('slow', { ms: { type: 'number' } }),
  tool('big', { kb: { type: 'number' } }),
  tool('fail'),
  tool('throw'),
  tool('odd.name'),
  tool('env', { name: { type: 'string' } }),
  tool('exit'),
]

const text = (said: string): CallToolResult => ({ content: [{ type: 'text', text: said }] })

/** What the tools do. */
async function run(call: McpCall, signal: AbortSignal): Promise<CallToolResult> {
  const { name, arguments: args } = call
  if (name === 'echo') return text(String(args.text))
  if (name === 'big') return text('x'.repeat(1024 * Number(args.kb)))
  if (name === 'fail') return { ...text('It did not work'), isError: true }
  if (name === 'odd.name') return { content: [{ type: 'image', data: 'AAAA', mimeType: 'image/png' }] }
  if (name === 'env') return text(process.env[String(args.name)] ?? 'unset')
  if (name === 'exit' && import.meta.main) process.exit(1)
  if (name !== 'slow') throw new Error('The tool broke')
  await new Promise((resolve) => {
    const timer = setTimeout(resolve, Number(args.ms ?? 0))
    signal.addEventListener('abort', () => {
      call.aborted = true
      clearTimeout(timer)
      resolve(undefined)
    })
  })
  return text('done')
}

function newServer(tools: Tool[], calls: McpCall[]): Server {
  const server = new Server({ name: 'tiny', version: '1' }, { capabilities: { tools: { listChanged: true } } })
  server.setRequestHandler(ListToolsRequestSchema, ({ params }) => {
    // Two pages, so that somebody has to turn them.
    const half = Math.ceil(tools.length / 2)
    return params?.cursor ? { tools: tools.slice(half) } : { tools: tools.slice(0, half), nextCursor: 'more' }
  })
  server.setRequestHandler(CallToolRequestSchema, ({ params }, { signal }) => {
    const call = { name: params.name, arguments: params.arguments ?? {}, aborted: false }
    calls.push(call)
    return run(call, signal)
  })
  return server
}

export interface TestMcpServer {
  url: string
  /** What was called, oldest first. */
  calls: McpCall[]
  /** The headers of the latest request. */
  headers: () => Headers
  /** Other tools from now on; those who listen are told. */
  use: (tools: Tool[]) => Promise<void>
  /** Forgets all sessions, as a server does that is started anew. */
  forget: () => void
  stop: () => Promise<void>
}

export { tool }

export function startMcpServer({ port = 0 } = {}): TestMcpServer {
  const calls: McpCall[] = []
  const sessions = new Map<string, { server: Server; transport: WebStandardStreamableHTTPServerTransport }>()
  let tools = TOOLS
  let headers = new Headers()
  const answer = async (request: Request): Promise<Response> => {
    headers = request.headers
    const id = request.headers.get('mcp-session-id')
    const known = id && sessions.get(id)
    if (known) return known.transport.handleRequest(request)
    if (id) return Response.json({ error: 'unknown session' }, { status: 404 })
    const server = newServer(tools, calls)
    const transport = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: () => crypto.randomUUID(),
      onsessioninitialized: (session) => {
        sessions.set(session, { server, transport })
      },
    })
    await server.connect(transport as Transport)
    return transport.handleRequest(request)
  }
  const http = Bun.serve({ hostname: '127.0.0.1', port, idleTimeout: 0, fetch: answer })
  const forget = () => {
    for (const { server } of sessions.values()) void server.close()
    sessions.clear()
  }
  return {
    url: `http://127.0.0.1:${http.port}/mcp`,
    calls,
    headers: () => headers,
    async use(others) {
      tools = others
      const told = [...sessions.values()]
      for (const { server } of told) {
        server.setRequestHandler(ListToolsRequestSchema, () => ({ tools }))
        await server.sendToolListChanged()
      }
    },
    forget,
    async stop() {
      forget()
      await http.stop(true)
    },
  }
}

if (import.meta.main) await newServer(TOOLS, []).connect(new StdioServerTransport())
