import type { NormalConversation, NormalMessage } from '../normal'
import { extraOf, type Fields, fields, idOrNull, isFields, list, listOrNull, moment, textOrNull } from '../read'

/** `conversations.json` of Claude: a list of messages; newer files name the parents as well. */
export const isClaude = (value: Fields): boolean => Array.isArray(value.chat_messages)

export function fromClaude(value: Fields): NormalConversation {
  return {
    source: 'claude',
    sourceId: idOrNull(value.uuid),
    title: textOrNull(value.name),
    createdAt: moment(value.created_at),
    updatedAt: moment(value.updated_at),
    model: textOrNull(value.model),
    systemPrompt: null,
    tags: [],
    archived: false,
    pinned: value.is_starred === true,
    messages: list(value.chat_messages).filter(isFields).map(toMessage),
    activeSourceId: idOrNull(value.current_leaf_message_uuid),
  }
}

/** What stands for "no parent". */
const NOBODY = '00000000-0000-4000-8000-000000000000'

function toMessage(message: Fields): NormalMessage {
  const parent = idOrNull(message.parent_message_uuid)
  const blocks = list(message.content).filter(isFields)
  const said = blocks.filter(({ type }) => type === 'text').map(({ text }) => textOrNull(text) ?? '')
  const thought = blocks.filter(({ type }) => type === 'thinking').map(({ thinking }) => textOrNull(thinking) ?? '')
  const others = blocks.filter(({ type }) => type !== 'text' && type !== 'thinking')
  return {
    sourceId: idOrNull(message.uuid),
    parentSourceId: 'parent_message_uuid' in message ? (parent === NOBODY ? null : parent) : undefined,
    role: textOrNull(message.sender) ?? '',
    content: said.join('\n\n') || (textOrNull(message.text) ?? ''),
    extra: extraOf({ reasoning_content: thought.join('\n\n') }),
    metadata: extraOf({
      attachments: listOrNull(message.attachments),
      files: listOrNull(list(message.files).map((file) => fields(file).file_name)),
      blocks: listOrNull(others),
    }),
    createdAt: moment(message.created_at),
    model: null,
  }
}
