import type { BeginTurn } from './port'

/** What the database's `append_messages` takes, whoever calls it; see `migrations/0002_conversations.sql`. */
export function toTurnArgument({ conversation, ...turn }: BeginTurn) {
  return {
    is_new: conversation.kind === 'new',
    conversation:
      conversation.kind === 'new'
        ? { id: conversation.id, title: conversation.title, system_prompt: conversation.systemPrompt }
        : {
            id: conversation.id,
            title: conversation.title ?? null,
            ...(conversation.parentId === undefined ? {} : { parent_id: conversation.parentId }),
          },
    messages: turn.messages,
    branch_id: turn.branchId,
    branch_name: turn.branchName ?? null,
    model: turn.model ?? null,
    default_model: turn.defaultModel,
    max_context: turn.maxContext,
    at: turn.at,
  }
}
