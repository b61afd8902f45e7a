import { textOf } from '../../../lib/tree'
import type { NormalConversation, NormalMessage } from '../normal'
import { extraOf, type Fields, fields, idOrNull, isFields, list, listOrNull, moment, textOrNull, texts } from '../read'
import { inOrder } from './mapping'

/** The export of Open WebUI: rows with a `chat`, whose history maps ids to messages. */
export const isOpenWebUi = (value: Fields): boolean =>
  isFields(value.chat) && (isFields(fields(value.chat.history).messages) || Array.isArray(value.chat.messages))

export function fromOpenWebUi(value: Fields): NormalConversation {
  const chat = fields(value.chat)
  const history = fields(chat.history)
  const models = texts(chat.models)
  return {
    source: 'open-webui',
    sourceId: idOrNull(value.id) ?? idOrNull(chat.id),
    title: textOrNull(value.title) ?? textOrNull(chat.title),
    createdAt: moment(value.created_at) ?? moment(chat.timestamp),
    updatedAt: moment(value.updated_at),
    model: models[0] ?? null,
    systemPrompt: textOrNull(chat.system) ?? textOrNull(fields(chat.params).system),
    tags: [...texts(chat.tags), ...texts(fields(value.meta).tags)],
    archived: value.archived === true,
    pinned: value.pinned === true,
    messages: isFields(history.messages)
      ? fromHistory(history.messages)
      : list(chat.messages).filter(isFields).map(toMessage),
    activeSourceId: idOrNull(history.currentId),
  }
}

const LINKS = { parent: 'parentId', children: 'childrenIds' }

const fromHistory = (history: Fields): NormalMessage[] =>
  inOrder(history, LINKS).map(([key, node]) => ({ ...toMessage(node), sourceId: idOrNull(node.id) ?? key }))

function toMessage(message: Fields): NormalMessage {
  const role = textOrNull(message.role) ?? ''
  const whole = textOf(message.content)
  const { said, thought } = role === 'assistant' ? apart(whole) : { said: whole, thought: '' }
  return {
    sourceId: idOrNull(message.id),
    parentSourceId: 'parentId' in message ? idOrNull(message.parentId) : undefined,
    role,
    content: said,
    extra: extraOf({ reasoning_content: thought }),
    metadata: extraOf({ files: listOrNull(message.files), error: message.error || null }),
    createdAt: moment(message.timestamp),
    model: textOrNull(message.model),
  }
}

const OPENS = '<details type="reasoning"'
const CLOSES = '</details>'

/** An answer with what was thought before it: that stands within the text, quoted and escaped, to be folded away. */
function apart(content: string): { said: string; thought: string } {
  const blocks = content.split(CLOSES)
  const thoughts: string[] = []
  const said = blocks.map((block, i) => {
    const at = i < blocks.length - 1 ? block.indexOf(OPENS) : -1
    if (at === -1) return i < blocks.length - 1 ? block + CLOSES : block
    thoughts.push(unquoted(block.slice(at)))
    return block.slice(0, at)
  })
  return thoughts.length > 0
    ? { said: said.join('').trim(), thought: thoughts.join('\n\n') }
    : { said: content, thought: '' }
}

const ENTITIES: Record<string, string> = { '&lt;': '<', '&gt;': '>', '&quot;': '"', '&#x27;': "'", '&amp;': '&' }

/** The text of such a block: below its summary, without the marks of a quotation. */
function unquoted(block: string): string {
  const summary = block.indexOf('</summary>')
  const text = summary === -1 ? block.slice(block.indexOf('>') + 1) : block.slice(summary + '</summary>'.length)
  return text
    .replace(/&(?:lt|gt|quot|#x27|amp);/g, (entity) => ENTITIES[entity] ?? entity)
    .replace(/^> ?/gm, '')
    .trim()
}
