import type { Owner, Store } from '../../store/port'
import type { Fact } from './service'

/** Says that something of a person changed. */
type Tell = (userId: string, fact: Fact) => void

/**
 * The store's methods that change what the change feed shows, by what they change; each takes its owner first. What is neither
 * here nor in `others` below is found by the feed's own looking: see the test.
 */
const WRITES = {
  conversations: { create: 'conversation', update: 'conversation', remove: 'conversation', annotate: 'message' },
  branches: {
    create: 'conversation',
    activate: 'conversation',
    rename: 'conversation',
    remove: 'message',
    merge: 'message',
  },
  messages: { edit: 'message', remove: 'message' },
  bulk: { update: 'conversation', remove: 'conversation' },
  archive: { write: 'conversation' },
} as const satisfies { [G in keyof Store]?: { [M in keyof Store[G]]?: Fact['kind'] } }

/** The same store; whoever's rows it changes is told of, after each change. */
export function announcing(store: Store, tell: Tell): Store {
  const told: Record<string, unknown> = {}
  for (const [group, methods] of Object.entries(WRITES)) {
    const after: After = {}
    for (const [method, kind] of Object.entries(methods))
      after[method] = ([owner]) => tell((owner as Owner).userId, { kind })
    told[group] = overlaid(store[group as keyof typeof WRITES], after)
  }
  return { ...store, ...(told as Partial<Store>), ...others(store, tell) }
}

/** Those that do not say whose they are in their first argument. */
function others({ turns, ledger }: Store, tell: Tell): Partial<Store> {
  /** Whose the runs are that this process has begun and not ended. */
  const owners = new Map<string, string>()
  return {
    turns: overlaid(turns, {
      begin([owner, turn], result) {
        const { outcome } = result as Awaited<ReturnType<typeof turns.begin>>
        if (outcome !== 'begun') return
        const { userId } = owner as Owner
        const { runId } = turn as Parameters<typeof turns.begin>[1]
        owners.set(runId, userId)
        tell(userId, { kind: 'run', run_id: runId })
      },
      finish([turn]) {
        const { runId } = turn as Parameters<typeof turns.finish>[0]
        const userId = owners.get(runId)
        owners.delete(runId)
        if (userId) tell(userId, { kind: 'run', run_id: runId })
      },
    }),
    ledger: overlaid(ledger, {
      settle([settlements]) {
        for (const { usage } of settlements as Parameters<typeof ledger.settle>[0]) {
          if (usage) tell(usage.userId, { kind: 'balance' })
        }
      },
      async credit([credit]) {
        const { accountId } = credit as Parameters<typeof ledger.credit>[0]
        const account = await ledger.balance(accountId)
        if (account?.kind === 'user' && account.ownerId) tell(account.ownerId, { kind: 'balance' })
      },
      limit(_, account) {
        const { kind, ownerId } = (account ?? {}) as Partial<Awaited<ReturnType<typeof ledger.open>>>
        if (kind === 'user' && ownerId) tell(ownerId, { kind: 'balance' })
      },
    }),
  }
}

/** By method: what is done once it has succeeded. */
type After = Record<string, (args: unknown[], result: unknown) => void | Promise<void>>

/** The same object with something done after some of its methods, for which nobody waits and which nobody hears failing. */
function overlaid<T extends object>(target: T, after: After): T {
  const overlay = Object.create(target) as T
  for (const [name, tell] of Object.entries(after)) {
    const method = target[name as keyof T] as (...args: unknown[]) => Promise<unknown>
    const value = async (...args: unknown[]) => {
      const result = await method.apply(target, args)
      void Promise.resolve(tell(args, result)).catch(() => {})
      return result
    }
    Object.defineProperty(overlay, name, { value, enumerable: true })
  }
  return overlay
}

/** For the test that compares it with the store. */
export const ANNOUNCED: Record<string, string[]> = {
  ...Object.fromEntries(Object.entries(WRITES).map(([group, methods]) => [group, Object.keys(methods)])),
  turns: ['begin', 'finish'],
  ledger: ['settle', 'credit', 'limit'],
}
