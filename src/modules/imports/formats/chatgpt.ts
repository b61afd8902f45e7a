import type { NormalConversation, NormalMessage } from '../normal'
import { extraOf, type Fields, fields, idOrNull, isFields, list, listOrNull, moment, textOrNull } from '../read'
import { inOrder } from './mapping'

/** `conversations.json` of ChatGPT: a mapping of nodes, of which the topmost and some others have no message to show. */
export const isChatGpt = (value: Fields): boolean => isFields(value.mapping)

export function fromChatGpt(value: Fields): NormalConversation {
  const tree: Tree = { mapping: fields(value.mapping), thoughts: new Set() }
  return {
    source: 'chatgpt',
    sourceId: idOrNull(value.conversation_id) ?? idOrNull(value.id),
    title: textOrNull(value.title),
    createdAt: moment(value.create_time),
    updatedAt: moment(value.update_time),
    model: textOrNull(value.default_model_slug),
    systemPrompt: null,
    tags: [],
    archived: value.is_archived === true,
    pinned: value.is_starred === true,
    messages: inOrder(tree.mapping, LINKS).map(([key, node]) => toMessage(key, node, tree)),
    activeSourceId: idOrNull(value.current_node),
  }
}

interface Tree {
  mapping: Fields
  /** Nodes of thoughts that an answer has taken: each belongs to one. */
  thoughts: Set<string>
}

const LINKS = { parent: 'parent', children: 'children' }

function toMessage(key: string, node: Fields, tree: Tree): NormalMessage {
  const message = fields(node.message)
  const metadata = fields(message.metadata)
  const content = fields(message.content)
  const text = textOf(content)
  const parts = listOrNull(list(content.parts).filter(isFields))
  const attachments = listOrNull(metadata.attachments)
  const hidden = metadata.is_visually_hidden_from_conversation === true || !(text || parts || attachments)
  const author = fields(message.author)
  return {
    sourceId: key,
    parentSourceId: idOrNull(node.parent),
    role: hidden ? null : (textOrNull(author.role) ?? ''),
    content: text,
    extra: hidden ? null : extraOf({ reasoning_content: thoughtAbove(node, tree) }),
    metadata: extraOf({
      author: textOrNull(author.name),
      attachments,
      parts,
    }),
    createdAt: moment(message.create_time),
    model: textOrNull(metadata.model_slug),
  }
}

/** What was thought just before: it has nodes of its own, between the question and the answer. */
function thoughtAbove({ parent }: Fields, { mapping, thoughts: taken }: Tree): string {
  const found: string[][] = []
  let key = idOrNull(parent)
  while (key && !taken.has(key) && Object.hasOwn(mapping, key)) {
    const node = fields(mapping[key])
    const { content_type: type, thoughts } = fields(fields(node.message).content)
    if (type !== 'thoughts' && type !== 'reasoning_recap') break
    taken.add(key)
    found.push(list(thoughts).map((thought) => textOrNull(fields(thought).content) ?? ''))
    key = idOrNull(node.parent)
  }
  return found.reverse().flat().filter(Boolean).join('\n\n')
}

function textOf({ content_type: type, parts, text, result, language }: Fields): string {
  // What a model thought is not what it said, and the person's profile is no message.
  if (
    type === 'thoughts' ||
    type === 'reasoning_recap' ||
    type === 'user_editable_context' ||
    type === 'model_editable_context'
  )
    return ''
  if (type === 'code' || type === 'execution_output') {
    const code = textOrNull(text)
    return code ? `\`\`\`${textOrNull(language)?.replace(/^unknown$/, '') ?? ''}\n${code}\n\`\`\`` : ''
  }
  if (Array.isArray(parts)) {
    const said = parts.map((part) => (isFields(part) ? textOrNull(part.text) : textOrNull(part)))
    return said.filter(Boolean).join('\n')
  }
  return textOrNull(text) ?? textOrNull(result) ?? ''
}
