import { AppError } from '../errors'
import { JsonClient, type JsonClientOptions } from '../lib/json-client'
import { Answers } from './edge/answers'
import { EdgeApi } from './edge/api'
import { EdgeBranches } from './edge/branches'
import { EdgeConversations } from './edge/conversations'
import { MemoryIdempotency } from './edge/idempotency'
import { EdgeMessages } from './edge/messages'
import { Outbox } from './edge/outbox'
import { ProfileWallets, SupabaseTables } from './edge/rest'
import { EdgeRuns } from './edge/runs'
import { EdgeTurns } from './edge/turns'
import { Wholes } from './edge/whole'
import type { AccountStore, FeedbackStore, KeyStore, Store, User } from './port'
import type { BudgetStore, LedgerStore, OutboxStore, UsageStore } from './port-money'
import type { PeopleStore, TenantStore } from './port-tenants'

export interface EdgeFunctionOptions {
  /** Of the function, `…/conversation-manager` included. */
  functionUrl: string
  /** Of the project. */
  supabaseUrl: string
  /** The project's public key; goes with every call as `apikey`. */
  anonKey: string
  /** Where answers wait that cannot be saved yet. */
  dataDir: string
  /** Milliseconds a call may take. */
  timeoutMs: number
  /** Calls at once. */
  concurrency: number
  /** Nano-dollars that must be left for an answer to be begun. */
  minBalance: bigint
  /** How many answers wait to be saved, whenever that changes. */
  onWaiting: (count: number) => void
  onCall: NonNullable<JsonClientOptions['onCall']>
  /** Faults that have no request to answer. */
  onFault: (message: string, error: unknown) => void
}

/**
 * The store of a Supabase project: conversations through its Edge Function, profiles through PostgREST, both in the name
 * of the person who asks. Runs are this process's own, and what cannot be saved waits on disk.
 * @throws Error when the data folder cannot be used.
 */
export function edgeStore(options: EdgeFunctionOptions): Store {
  const { functionUrl, supabaseUrl, anonKey, dataDir, timeoutMs, concurrency, minBalance, onCall, onFault, onWaiting } =
    options
  const headers = { apikey: anonKey, 'user-agent': 'ai-chat-orchestrator' }
  const client = (name: string, baseUrl: string) =>
    new JsonClient({ name, baseUrl, headers, timeoutMs, concurrency, onCall })
  const api = new EdgeApi(client('The Edge Function', functionUrl), anonKey)
  const tables = new SupabaseTables(client('Supabase', `${supabaseUrl}/rest/v1`))
  const answers = new Answers({ api, outbox: new Outbox(dataDir), now: () => new Date(), onFault, onWaiting })
  const runs = new EdgeRuns()
  const wholes = new Wholes({ api, answers })
  const wallets = new ProfileWallets(tables, minBalance)
  // Tells which function it is; until it has answered it counts as an older one.
  api.ping().catch((error) => onFault('The Edge Function does not answer yet', error))
  return {
    kind: 'edge',
    accounts,
    keys,
    wallets,
    conversations: new EdgeConversations({ api, answers, runs, tables, wholes }),
    branches: new EdgeBranches({ api, answers, wholes }),
    messages: new EdgeMessages({ api, answers, wholes }),
    turns: new EdgeTurns({ api, answers, runs, wallets }),
    runs,
    bulk: { select: noBulk, update: noBulk, remove: noBulk },
    archive: { find: noBulk, outline: noBulk, messages: noBulk, holder: noBulk, write: noBulk },
    feedback,
    search: { find: noSearch },
    stats: { of: noStats },
    sync: { changes: noSync },
    ledger,
    budgets,
    usage,
    outbox,
    tenants,
    people,
    idempotency: new MemoryIdempotency(),
    ping: () => api.ping(),
    async close() {
      answers.close()
    },
  }
}

const absent = (sentence: string) => async () => {
  throw new AppError('NOT_SUPPORTED', sentence)
}
const noAccounts = absent('Sign-in is a matter of the Supabase project: call Supabase Auth, or set ACCOUNTS=supabase')
const noKeys = absent('API keys are kept in a database of this server: set DATABASE_URL and STORE=postgres')
const noSearch = absent('Search needs a database of this server: set DATABASE_URL and STORE=postgres')
const noStats = absent('Statistics need a database of this server: set DATABASE_URL and STORE=postgres')
const noSync = absent('A feed of changes needs a database of this server: set DATABASE_URL and STORE=postgres')
const noBulk = absent('Many conversations at once need a database of this server: set DATABASE_URL and STORE=postgres')

/** People are Supabase's: whoever has a valid token of the project is who the token says. */
const accounts: AccountStore = {
  async adopt({ id, tenantId, email, name, subject }): Promise<User | undefined> {
    if (id !== subject?.toLowerCase()) return undefined
    return { userId: id, tenantId, email, name, role: 'user', litellmKey: null, createdAt: null }
  },
  create: noAccounts,
  findByEmail: noAccounts,
  setPasswordHash: noAccounts,
  setRole: noAccounts,
  openSession: noAccounts,
  rotate: noAccounts,
  findBySession: async () => undefined,
  revokeByRefresh: async () => undefined,
  revokeSession: async () => {},
}

const noFeedback = absent('Feedback is kept in a database of this server: set DATABASE_URL and STORE=postgres')

const feedback: FeedbackStore = {
  put: noFeedback,
  find: noFeedback,
  list: noFeedback,
  remove: noFeedback,
  byModel: noFeedback,
}

const noLedger = absent('A ledger needs a database of this server: set DATABASE_URL and STORE=postgres')

const ledger: LedgerStore = {
  open: noLedger,
  credit: noLedger,
  reserve: noLedger,
  draw: noLedger,
  extend: noLedger,
  settle: noLedger,
  void: noLedger,
  expire: noLedger,
  note: noLedger,
  orphans: noLedger,
  limit: noLedger,
  accounts: noLedger,
  balance: noLedger,
  entries: noLedger,
}
const budgets: BudgetStore = { list: noLedger, put: noLedger, remove: noLedger }

const noUsage = absent('Usage is kept in a database of this server: set DATABASE_URL and STORE=postgres')
const usage: UsageStore = {
  totals: noUsage,
  byDay: noUsage,
  by: noUsage,
  records: noUsage,
  find: noUsage,
  // Asked with every message that is read.
  ofAnswer: async () => undefined,
}

const noEvents = absent('Events are kept in a database of this server: set DATABASE_URL and STORE=postgres')
const outbox: OutboxStore = { claim: noEvents, done: noEvents, failed: noEvents, waiting: noEvents }

const noTenants = absent('Tenants are kept in a database of this server: set DATABASE_URL and STORE=postgres')
const tenants: TenantStore = {
  list: noTenants,
  // Nothing is kept of them, and so nothing limits anybody.
  find: async () => undefined,
  findBySlug: noTenants,
  create: noTenants,
  update: noTenants,
  keys: noTenants,
  setKey: noTenants,
  removeKey: noTenants,
  sealedKeys: async () => [],
}

const noPeople = absent('People are a matter of the Supabase project')
const people: PeopleStore = { list: noPeople, find: noPeople, update: noPeople, setLitellmKey: noPeople }

const keys: KeyStore = {
  create: noKeys,
  list: noKeys,
  ownerOf: noKeys,
  remove: noKeys,
  findUser: async () => undefined,
}
