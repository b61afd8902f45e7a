import type { NormalConversation, NormalMessage } from '../normal'
import { extraOf, type Fields, fields, idOrNull, isFields, list, moment, textOrNull } from '../read'

/** `conversations.json` of ChatGPT: a mapping of nodes, of which the topmost and some others have no message to show. */
export const isChatGpt = (value: Fields): boolean => isFields(value.mapping)

export function fromChatGpt(value: Fields): NormalConversation {
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
    messages: inOrder(fields(value.mapping)).map(([key, node]) => toMessage(key, node)),
    activeSourceId: idOrNull(value.current_node),
  }
}

/** The nodes as the lists of children name them: that is the order of alternatives; then those that no list names. */
function inOrder(mapping: Fields): [string, Fields][] {
  const seen = new Set<string>()
  const order: [string, Fields][] = []
  const take = (key: string) => {
    const node = mapping[key]
    if (seen.has(key) || !isFields(node)) return
    seen.add(key)
    order.push([key, node])
  }
  const roots = Object.keys(mapping).filter((key) => !idOrNull(fields(mapping[key]).parent))
  for (const key of roots) take(key)
  for (let i = 0; i < order.length; i++) {
    for (const child of list(order[i]?.[1].children))
      if (typeof child === 'string' && Object.hasOwn(mapping, child)) take(child)
  }
  for (const key of Object.keys(mapping)) take(key)
  return order
}

function toMessage(key: string, node: Fields): NormalMessage {
  const message = fields(node.message)
  const metadata = fields(message.metadata)
  const content = fields(message.content)
  const text = textOf(content)
  const hidden = metadata.is_visually_hidden_from_conversation === true || !text
  const images = list(content.parts).filter(isFields)
  const author = fields(message.author)
  return {
    sourceId: key,
    parentSourceId: idOrNull(node.parent),
    role: hidden && images.length === 0 ? null : (textOrNull(author.role) ?? ''),
    content: text,
    metadata: extraOf({
      author: textOrNull(author.name),
      attachments: metadata.attachments,
      parts: images.length ? images : null,
    }),
    createdAt: moment(message.create_time),
    model: textOrNull(metadata.model_slug),
  }
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
