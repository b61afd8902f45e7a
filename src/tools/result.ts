import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js'
import type { ToolResult } from './port'

/** What a model gets of a result: its texts. Pictures and sounds are only named; models take none from tools. */
export function resultOf({ content, structuredContent, isError }: CallToolResult): ToolResult {
  const texts = content.map((part) => {
    if (part.type === 'text') return part.text
    if (part.type === 'resource') {
      const { resource } = part
      return 'text' in resource ? resource.text : `[${resource.mimeType ?? 'file'}, ${kb(resource.blob)}]`
    }
    if (part.type === 'resource_link') return `[${part.name}: ${part.uri}]`
    return `[${part.mimeType}, ${kb(part.data)}]`
  })
  const text = texts.length === 0 && structuredContent ? JSON.stringify(structuredContent) : texts.join('\n')
  return { content: text, isError: isError === true }
}

/** The size of what base64 stands for. */
const kb = (base64: string): string => `${Math.ceil((base64.length * 3) / 4 / 1024)} kB`
