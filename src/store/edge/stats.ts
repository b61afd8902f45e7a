import type { ConversationStats } from '../port'
import type { Whole } from './whole'

/** Adds up a conversation, all branches of it. */
export function statsOf({ tree, branches }: Whole): ConversationStats {
  const all = tree.all()
  const answers = all.filter(({ role }) => role === 'assistant')
  const models = Map.groupBy(answers, ({ model }) => model)
  const sum = (name: string) => all.reduce((total, { usage }) => total + tokens(usage, name), 0)
  return {
    messages: all.length,
    branches: branches.length,
    answers: answers.length,
    promptTokens: sum('prompt_tokens'),
    completionTokens: sum('completion_tokens'),
    totalTokens: all.reduce((total, { usage }) => total + totalOf(usage), 0),
    costNanos: all.reduce((total, { costNanos }) => total + (costNanos ?? 0n), 0n),
    models: [...models]
      .flatMap(([model, of]) => (model === null ? [] : [{ model, answers: of.length }]))
      .sort((a, b) => b.answers - a.answers || (a.model < b.model ? -1 : 1))
      .slice(0, 100),
    firstMessageAt: all[0]?.createdAt ?? null,
    lastMessageAt: all.at(-1)?.createdAt ?? null,
  }
}

type Usage = Record<string, unknown> | null

const tokens = (usage: Usage, name: string): number => (typeof usage?.[name] === 'number' ? usage[name] : 0)
const totalOf = (usage: Usage): number =>
  typeof usage?.total_tokens === 'number'
    ? usage.total_tokens
    : tokens(usage, 'prompt_tokens') + tokens(usage, 'completion_tokens')
