import { afterEach, expect, test } from 'bun:test'
import { join } from 'node:path'
import type { McpServerSettings } from '../../src/tools/file'
import { McpTools, toolName } from '../../src/tools/mcp'
import type { ToolOwner } from '../../src/tools/port'
import { startMcpServer, type TestMcpServer, tool } from '../support/mcp-server'
import { freePort, until } from '../support/servers'

const ME: ToolOwner = { tenantId: 'mine', userId: 'me' }
const STDIO = { command: process.execPath, args: [join(import.meta.dir, '../support/mcp-server.ts')] }

const ends: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

function serve(port = 0): TestMcpServer {
  const server = startMcpServer({ port })
  ends.push(server.stop)
  return server
}

function connect(servers: Record<string, McpServerSettings>, limits: { tools?: number } = {}) {
  const lines: string[] = []
  const clock = { at: 0 }
  const tools = new McpTools({
    servers,
    limits: { steps: 8, call_seconds: 30, result_kb: 64, tools: 64, ...limits },
    version: '1',
    log: (level, facts, message) => lines.push(`${level} ${message} ${JSON.stringify(facts)}`),
    now: () => clock.at,
  })
  ends.push(() => tools.close())
  const names = async (owner = ME) => (await tools.list(owner)).map(({ definition }) => definition.function.name)
  const call = (name: string, args: Record<string, unknown> = {}, signal = new AbortController().signal) =>
    tools.call(ME, { name, arguments: args }, signal)
  const warnings = () => lines.filter((line) => line.startsWith('warn'))
  return { tools, names, call, clock, lines, warnings }
}

test.each(['http', 'stdio'])('lists the tools of a server and calls them, over %s', async (kind) => {
  const settings = kind === 'http' ? { url: serve().url, headers: { 'x-key': 'k' } } : STDIO
  const { tools, names, call } = connect({ tiny: settings })
  expect(await names()).toEqual(
    ['echo', 'slow', 'big', 'fail', 'throw', 'odd_name', 'env', 'exit'].map((name) => `tiny__${name}`),
  )
  expect((await tools.list(ME))[0]).toMatchObject({
    definition: {
      type: 'function',
      function: {
        name: 'tiny__echo',
        description: 'The tool echo',
        parameters: { type: 'object', properties: { text: { type: 'string' } } },
      },
    },
    approve: false,
    timeoutMs: 30_000,
  })
  expect(await call('tiny__echo', { text: 'hello' })).toEqual({ content: 'hello', isError: false })
  expect(await call('tiny__fail')).toEqual({ content: 'It did not work', isError: true })
  expect(await call('tiny__throw')).toMatchObject({ content: expect.stringContaining('The tool broke'), isError: true })
  expect(await call('tiny__odd_name')).toEqual({ content: '[image/png, 1 kB]', isError: false })
  expect(await call('tiny__none')).toEqual({ content: 'There is no such tool now.', isError: true })
})

test('sends the headers of the file and no others of ours', async () => {
  const server = serve()
  const { names } = connect({ tiny: { url: server.url, headers: { authorization: 'Bearer secret' } } })
  await names()
  expect(server.headers().get('authorization')).toBe('Bearer secret')
})

test('gives programs no variables but the usual ones and those of the file', async () => {
  const { call } = connect({ shell: { ...STDIO, env: { GIVEN: 'yes' } } })
  process.env.ORCHESTRATOR_SECRET = 'no'
  const values = ['GIVEN', 'ORCHESTRATOR_SECRET'].map(async (name) => (await call('shell__env', { name })).content)
  expect(await Promise.all(values)).toEqual(['yes', 'unset'])
  delete process.env.ORCHESTRATOR_SECRET
})

test('offers only what is allowed, to tenants for whom it is, and marks what needs approval', async () => {
  const { url } = serve()
  const { tools, names, warnings } = connect({
    some: { url, tools: { allow: ['echo', 'fail'], approve: ['fail', 'fial'] }, timeout_s: 2 },
    theirs: { url, tenants: ['another'] },
    all: { url, tools: { approve: true, allow: ['slow'] } },
  })
  expect(await names()).toEqual(['some__echo', 'some__fail', 'all__slow'])
  expect((await tools.list(ME)).map(({ approve, timeoutMs }) => [approve, timeoutMs])).toEqual([
    [false, 2000],
    [true, 2000],
    [true, 30_000],
  ])
  expect(await names({ tenantId: 'another', userId: 'x' })).toContain('theirs__echo')
  expect((await tools.call(ME, { name: 'theirs__echo', arguments: {} }, AbortSignal.timeout(5000))).isError).toBe(true)
  expect(warnings()).toEqual([expect.stringMatching(/names a tool that the server does not have .*fial/)])
})

test('leaves out tools without a sound schema, and what is beyond the limit', async () => {
  const server = serve()
  const huge = tool('huge', { x: { description: 'x'.repeat(20_000) } })
  await server.use([tool('one'), huge, tool('two'), tool('three')])
  const { names, warnings } = connect({ tiny: { url: server.url } }, { tools: 2 })
  expect(await names()).toEqual(['tiny__one', 'tiny__two'])
  await names()
  expect(warnings()).toEqual([expect.stringContaining('huge'), expect.stringContaining('limits.tools')])
})

test('makes names that every provider takes, each of its own', () => {
  expect(toolName('a', 'b.c/d')).toBe('a__b_c_d')
  const long = ['x'.repeat(80), `${'x'.repeat(79)}y`].map((name) => toolName('server', name))
  for (const name of long) expect(name).toMatch(/^[\w-]{64}$/)
  expect(long[0]).not.toBe(long[1])
})

test('asks for the list again when the server says that it changed, and after a while', async () => {
  const server = serve()
  const { names, clock } = connect({ tiny: { url: server.url } })
  expect(await names()).toHaveLength(8)
  // The server can only tell once the client listens.
  await Bun.sleep(100)
  await server.use([tool('new')])
  await until(async () => (await names()).join() === 'tiny__new')
  server.forget()
  await server.use([tool('newer')])
  clock.at = 300_001
  await names()
  await until(async () => {
    clock.at += 60_000
    return (await names()).join() === 'tiny__newer'
  })
})

test('leaves out a server that is away, says so once, and takes it back', async () => {
  const port = await freePort()
  const { names, call, clock, warnings, lines } = connect({ tiny: { url: `http://127.0.0.1:${port}/mcp` } })
  expect(await names()).toEqual([])
  expect(await names()).toEqual([])
  expect(await call('tiny__echo')).toEqual({ content: 'There is no such tool now.', isError: true })
  clock.at += 1000
  expect(await names()).toEqual([])
  expect(warnings()).toEqual([expect.stringContaining('an MCP server is away')])
  serve(port)
  expect(await names()).toEqual([])
  clock.at += 2000
  expect(await names()).toHaveLength(8)
  expect(lines.at(-1)).toContain('an MCP server is back')
})

test('begins a new session with a server that was started anew', async () => {
  const server = serve()
  const { call } = connect({ tiny: { url: server.url } })
  await call('tiny__echo', { text: '1' })
  server.forget()
  expect(await call('tiny__echo', { text: '2' })).toEqual({ content: '2', isError: false })
})

test('starts a program anew that ended', async () => {
  const { call, names, clock } = connect({ tiny: STDIO })
  // On a busy machine a program may take longer to start than it is waited for; then it is tried again later.
  const started = () =>
    until(async () => {
      clock.at += 60_000
      return (await names()).length > 0
    })
  await started()
  expect(await call('tiny__exit')).toEqual({ content: 'The tool is away.', isError: true })
  await started()
  expect(await call('tiny__echo', { text: 'again' })).toEqual({ content: 'again', isError: false })
})

test('shows whether its servers are there, and none once it is closed', async () => {
  const { tools, call } = connect({ tiny: { url: serve().url } })
  const [server] = tools.checks()
  expect(server?.name).toBe('tiny')
  expect(await server?.check()).toHaveLength(8)
  await tools.close()
  expect(await call('tiny__echo')).toEqual({ content: 'There is no such tool now.', isError: true })
  expect(server?.check()).rejects.toThrow()
})

test('gives a call up when it is told to, and tells the server', async () => {
  const server = serve()
  const { names, call } = connect({ tiny: { url: server.url } })
  await names()
  const stop = new AbortController()
  const called = call('tiny__slow', { ms: 20_000 }, stop.signal)
  await until(() => server.calls.length === 1)
  stop.abort(new Error('enough'))
  expect(called).rejects.toThrow('enough')
  await until(() => server.calls[0]?.aborted === true)
})

test('gives a call up when its time is over', async () => {
  const { url } = serve()
  const { call } = connect({ tiny: { url, timeout_s: 1 } })
  expect(await call('tiny__slow', { ms: 20_000 })).toEqual({
    content: 'The tool did not answer in time.',
    isError: true,
  })
})

test('logs neither arguments nor results', async () => {
  const { url } = serve()
  const { call, lines } = connect({ tiny: { url } })
  await call('tiny__echo', { text: 'private words' })
  expect(lines.join()).toContain('tool call')
  expect(lines.join()).not.toContain('private')
})
