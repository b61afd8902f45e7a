import { getTableColumns } from 'drizzle-orm'
import { conversations, messages } from '../schema'

// What a reader gets of a row. The words for search are larger than the text itself, and nobody's to read.
const {
  search: _words,
  changed: _transaction,
  tenantId: _tenant,
  userId: _owner,
  ...conversationColumns
} = getTableColumns(conversations)
const { search, changed, userId, ...messageColumns } = getTableColumns(messages)

export { conversationColumns, messageColumns }
