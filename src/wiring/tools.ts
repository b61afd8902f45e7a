import pkg from '../../package.json'
import type { Config } from '../config'
import { ToolLoop } from '../llm/tool-loop'
import type { Log } from '../log'
import type { Dependency } from '../modules/health/service'

/** The MCP servers of MCP_FILE. Not loaded at all, and nothing is connected to, without that. */
export async function openTools({ tools }: Config, log: Log) {
  if (!tools) return undefined
  const { McpTools } = await import('../tools/mcp')
  const box = new McpTools({
    ...tools,
    version: pkg.version,
    log: (level, facts, message) => log[level](facts, message),
  })
  const { steps, result_kb } = tools.limits
  return {
    loop: new ToolLoop(box, { steps, resultBytes: result_kb * 1024 }),
    dependencies: box
      .checks()
      .map(({ name, check }): Dependency => ({ name: `tools:${name}`, required: false, check })),
    close: () => box.close(),
  }
}
