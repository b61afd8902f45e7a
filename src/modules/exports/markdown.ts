import type { Message } from '../../store/port'
import type { Source } from './source'

const SPEAKER = { user: 'User', assistant: 'Assistant', tool: 'Tool' } as const
/** Levels by which headings of messages move down: below that of the message itself. */
const BELOW = 2

/** The path that is shown, as a document to read. */
export async function* markdownOf(source: Source): AsyncGenerator<string> {
  const { title, createdAt, systemPrompt } = source.conversation
  yield `# ${title.replace(/\s+/g, ' ').trim()}\n\n_${createdAt.toISOString()}_\n`
  if (systemPrompt) yield `\n## System\n\n${contained(systemPrompt)}\n`
  for await (const message of source.active()) yield sectionOf(message)
}

function sectionOf({ role, content, extra, status }: Message): string {
  const calls = Array.isArray(extra?.tool_calls) ? extra.tool_calls : []
  const parts = [
    `## ${SPEAKER[role]}`,
    contained(content),
    ...calls.map((call) => `\`\`\`\`json\n${JSON.stringify(call)}\n\`\`\`\``),
    status === 'complete' ? '' : `_(${status})_`,
  ]
  return `\n${parts.filter(Boolean).join('\n\n')}\n`
}

/** The fence a line opens: its character and length. What stands behind backticks must not have any. */
function opening(line: string): string | undefined {
  return /^ {0,3}(?:(`{3,})[^`]*|(~{3,}).*)$/.exec(line)?.slice(1).find(Boolean)
}
const closes = (line: string, fence: string) => new RegExp(`^ {0,3}\\${fence[0]}{${fence.length},}[ \\t]*$`).test(line)

/**
 * Somebody's Markdown as a part of ours: a fence that is left open is closed, headings go below our own, and HTML that
 * would swallow what follows is shown as text.
 */
export function contained(text: string): string {
  let fence: string | undefined
  let above = ''
  const lines = text.split(/\r\n|\n|\r/).map((line) => {
    const before = above
    above = line
    if (fence !== undefined) {
      if (closes(line, fence)) fence = undefined
      return line
    }
    fence = opening(line)
    return fence === undefined ? tamed(line, before) : line
  })
  if (fence !== undefined) lines.push(fence)
  return lines.join('\n').trim()
}

function tamed(line: string, before: string): string {
  // A line of dashes makes a heading of the line before it.
  if (/^ {0,3}(?:=+|-+)[ \t]*$/.test(line) && before.trim()) return line.replace(/[=-]/, '\\$&')
  return line
    .replace(
      /^( {0,3})(#{1,6})(?=[ \t]|$)/,
      (_, indent, marks) => indent + '#'.repeat(Math.min(6, marks.length + BELOW)),
    )
    .replace(/^( {0,3})<(?=!|\?|(?:script|pre|style|textarea)\b)/i, '$1&lt;')
}
