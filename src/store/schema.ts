import { sql } from 'drizzle-orm'
import {
  bigint,
  foreignKey,
  index,
  integer,
  pgTable,
  primaryKey,
  text,
  unique,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core'
import { bytea, instant, jsonb, tsvector, xid8 } from './schema-columns'

export * from './schema-money'

/** A customer of the operator; every row belongs to exactly one. */
export const tenants = pgTable('tenants', {
  id: uuid('id').primaryKey(),
  name: text('name').notNull(),
  /** What tokens of an outside issuer call it. */
  slug: text('slug').unique(),
  /** Models its people may use; null: all. */
  allowedModels: text('allowed_models').array(),
  /** Added to what providers charge, in hundredths of a percent. */
  marginBp: integer('margin_bp').notNull().default(0),
  /** Null: as the installation does. */
  billing: text('billing').$type<'metered' | 'prepaid'>(),
  limits: jsonb<Record<string, number>>('limits'),
  disabledAt: instant('disabled_at'),
  createdAt: instant('created_at').notNull(),
  /** Null for those that were never changed. */
  updatedAt: instant('updated_at'),
})

/** `admin`: of their tenant. `owner`: of the installation, and so of every tenant. */
export type Role = 'user' | 'admin' | 'owner'

export const users = pgTable(
  'users',
  {
    id: uuid('id').primaryKey(),
    tenantId: uuid('tenant_id')
      .notNull()
      .references(() => tenants.id),
    /** Lower case. Absent for outside identities that do not say. */
    email: text('email'),
    name: text('name').notNull(),
    /** argon2id, PHC string. Absent for people who sign in elsewhere. */
    passwordHash: text('password_hash'),
    /** Who vouches for this person when we do not: the token's `iss` and `sub`. */
    issuer: text('issuer'),
    subject: text('subject'),
    /** The person's own key at the LiteLLM proxy. Secret. */
    litellmKey: text('litellm_key'),
    role: text('role').$type<Role>().notNull().default('user'),
    /** Whatever a client keeps for them. */
    preferences: jsonb<Record<string, unknown>>('preferences').notNull().default({}),
    /** IANA name. */
    timeZone: text('time_zone'),
    /** Models this person may use; null: what their tenant may. */
    allowedModels: text('allowed_models').array(),
    limits: jsonb<Record<string, number>>('limits'),
    disabledAt: instant('disabled_at'),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [
    // Only our own accounts sign in by e-mail; two issuers may vouch for the same address.
    uniqueIndex('users_email').on(t.email).where(sql`${t.passwordHash} is not null`),
    unique('users_identity').on(t.issuer, t.subject),
  ],
)

/** One sign-in on one device: a family of refresh tokens. */
export const sessions = pgTable(
  'sessions',
  {
    id: uuid('id').primaryKey(),
    userId: uuid('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    createdAt: instant('created_at').notNull(),
    expiresAt: instant('expires_at').notNull(),
    revokedAt: instant('revoked_at'),
  },
  (t) => [index('sessions_user').on(t.userId)],
)

export const refreshTokens = pgTable(
  'refresh_tokens',
  {
    /** SHA-256 of the token; the token itself is never stored. */
    hash: text('hash').primaryKey(),
    sessionId: uuid('session_id')
      .notNull()
      .references(() => sessions.id, { onDelete: 'cascade' }),
    createdAt: instant('created_at').notNull(),
    usedAt: instant('used_at'),
  },
  (t) => [index('refresh_tokens_session').on(t.sessionId)],
)

export const apiKeys = pgTable(
  'api_keys',
  {
    id: uuid('id').primaryKey(),
    userId: uuid('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    name: text('name').notNull(),
    /** SHA-256 of the key. */
    hash: text('hash').notNull().unique(),
    /** The end of the key, so that its owner can tell keys apart. */
    lastFour: text('last_four').notNull(),
    createdAt: instant('created_at').notNull(),
    expiresAt: instant('expires_at'),
    lastUsedAt: instant('last_used_at'),
  },
  (t) => [index('api_keys_user').on(t.userId)],
)

export const conversations = pgTable(
  'conversations',
  {
    id: uuid('id').primaryKey(),
    tenantId: uuid('tenant_id')
      .notNull()
      .references(() => tenants.id),
    userId: uuid('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    title: text('title').notNull(),
    /** `auto` until the person names it; a name given by a person is never overwritten. */
    titleSource: text('title_source').$type<'auto' | 'user'>().notNull(),
    model: text('model'),
    systemPrompt: text('system_prompt'),
    /** Parameters of the Chat Completions API for turns that do not bring their own: `temperature`, … */
    settings: jsonb<Record<string, unknown>>('settings'),
    /** Whatever a client keeps with it; nothing here reads it. */
    metadata: jsonb<Record<string, unknown>>('metadata'),
    tags: text('tags').array().notNull().default([]),
    pinnedAt: instant('pinned_at'),
    archivedAt: instant('archived_at'),
    /** The message at the end of the path that is shown; null while the conversation is empty. */
    activeLeafId: uuid('active_leaf_id'),
    /** Grows with every change; the ETag. */
    rev: bigint('rev', { mode: 'number' }).notNull(),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
    changed: xid8('changed').notNull().default(sql`pg_current_xact_id()`),
    search: tsvector('search').generatedAlwaysAs(sql`search_words(user_id, title)`),
  },
  (t) => [
    index('conversations_recent').on(t.userId, t.updatedAt.desc(), t.id),
    // As they are listed when nobody asks for another order: the first page is the beginning of it, and it is quickly counted.
    index('conversations_shown')
      .on(t.userId, t.tenantId, sql`(${t.pinnedAt} is not null) desc`, sql`${t.updatedAt} desc`, sql`${t.id} desc`)
      .where(sql`${t.archivedAt} is null`),
    index('conversations_changed').on(t.userId, t.changed),
    index('conversations_search').using('gin', t.search),
  ],
)

export type MessageStatus = 'streaming' | 'complete' | 'stopped' | 'error' | 'interrupted'

/** Nodes of the tree. `parent_id` is the only link; a finished node never changes. */
export const messages = pgTable(
  'messages',
  {
    id: uuid('id').primaryKey(),
    conversationId: uuid('conversation_id')
      .notNull()
      .references(() => conversations.id, { onDelete: 'cascade' }),
    /** The conversation's owner, written by a trigger: so that search and Row Level Security need no second table. */
    userId: uuid('user_id').notNull(),
    parentId: uuid('parent_id'),
    /** The branch it was written in; null in rows older than this column. No foreign key: it outlives the branch. */
    branchId: uuid('branch_id'),
    /** 0 for a root. */
    depth: integer('depth').notNull(),
    role: text('role').$type<'user' | 'assistant' | 'tool'>().notNull(),
    /** The plain text; what search reads. */
    content: text('content').notNull(),
    /** What plain text cannot hold, in OpenAI's words: `content` parts, `tool_calls`, `reasoning_content`, … */
    extra: jsonb<Record<string, unknown>>('extra'),
    status: text('status').$type<MessageStatus>().notNull(),
    model: text('model'),
    finishReason: text('finish_reason'),
    usage: jsonb<Record<string, unknown>>('usage'),
    /** Nano-dollars; null when the price is not known. */
    costNanos: bigint('cost_nanos', { mode: 'bigint' }),
    metadata: jsonb<Record<string, unknown>>('metadata'),
    createdAt: instant('created_at').notNull(),
    completedAt: instant('completed_at'),
    changed: xid8('changed').notNull().default(sql`pg_current_xact_id()`),
    search: tsvector('search').generatedAlwaysAs(sql`search_words(user_id, content)`),
  },
  (t) => [
    index('messages_search').using('gin', t.search),
    unique('messages_in_conversation').on(t.conversationId, t.id),
    // A parent in another conversation, or none at all, is impossible rather than repaired.
    foreignKey({
      name: 'messages_parent',
      columns: [t.conversationId, t.parentId],
      foreignColumns: [t.conversationId, t.id],
    }).onDelete('cascade'),
    index('messages_children').on(t.conversationId, t.parentId, t.id),
  ],
)

/** A named leaf. Every leaf has one, every conversation has at least "Main". */
export const branches = pgTable(
  'branches',
  {
    id: uuid('id').primaryKey(),
    conversationId: uuid('conversation_id')
      .notNull()
      .references(() => conversations.id, { onDelete: 'cascade' }),
    name: text('name').notNull(),
    /** Where it forked off; null for one that starts at a root. No foreign key, as with a message's branch. */
    parentMessageId: uuid('parent_message_id'),
    leafId: uuid('leaf_id'),
    createdAt: instant('created_at').notNull(),
    /** The branch last viewed below a fork is the one a person comes back to there. */
    viewedAt: instant('viewed_at').notNull(),
  },
  (t) => [
    foreignKey({
      name: 'branches_leaf',
      columns: [t.conversationId, t.leafId],
      foreignColumns: [messages.conversationId, messages.id],
    }).onDelete('cascade'),
    unique('branches_one_per_leaf').on(t.conversationId, t.leafId),
  ],
)

export type RunStatus = 'running' | 'completed' | 'stopped' | 'failed' | 'interrupted'

/** One answer being made, or made. */
export const runs = pgTable(
  'runs',
  {
    id: uuid('id').primaryKey(),
    tenantId: uuid('tenant_id')
      .notNull()
      .references(() => tenants.id),
    userId: uuid('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    conversationId: uuid('conversation_id').notNull(),
    messageId: uuid('message_id').notNull(),
    branchId: uuid('branch_id').notNull(),
    status: text('status').$type<RunStatus>().notNull(),
    model: text('model').notNull(),
    /** The process that makes the answer; when its heartbeat stops, the run is interrupted. */
    instanceId: uuid('instance_id').notNull(),
    idempotencyKey: text('idempotency_key'),
    /** SHA-256 of the request body that came with the key. */
    fingerprint: text('fingerprint'),
    /** Number of the last event, the terminal one; 0 while running. */
    lastSeq: integer('last_seq').notNull(),
    error: jsonb<Record<string, unknown>>('error'),
    provider: text('provider'),
    /** Milliseconds from the beginning to the first piece of answer, and to the end. */
    firstTokenMs: integer('first_token_ms'),
    latencyMs: integer('latency_ms'),
    /** W3C trace context of the request that began it. */
    traceId: text('trace_id'),
    spanId: text('span_id'),
    /** Somebody asked another server to stop it. */
    stopRequestedAt: instant('stop_requested_at'),
    /** What another server needs to go on with it when this one dies; only where the policy says so. */
    request: jsonb<Record<string, unknown>>('request'),
    /** How often another server went on with it. */
    continued: integer('continued').notNull().default(0),
    createdAt: instant('created_at').notNull(),
    finishedAt: instant('finished_at'),
  },
  (t) => [
    foreignKey({
      name: 'runs_message',
      columns: [t.conversationId, t.messageId],
      foreignColumns: [messages.conversationId, messages.id],
    }).onDelete('cascade'),
    unique('runs_idempotency').on(t.userId, t.idempotencyKey),
    index('runs_message_id').on(t.conversationId, t.messageId),
    index('runs_recent').on(t.userId, t.id),
    index('runs_active').on(t.instanceId).where(sql`${t.status} = 'running'`),
  ],
)

export type FeedbackKind = 'thumbs_up' | 'thumbs_down' | 'flag'

/** What a person thinks of a message: one opinion each, changeable. */
export const feedback = pgTable(
  'feedback',
  {
    id: uuid('id').primaryKey(),
    tenantId: uuid('tenant_id')
      .notNull()
      .references(() => tenants.id),
    userId: uuid('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    conversationId: uuid('conversation_id').notNull(),
    messageId: uuid('message_id').notNull(),
    kind: text('kind').$type<FeedbackKind>(),
    /** 1 to 5. */
    rating: integer('rating'),
    tags: text('tags').array().notNull().default([]),
    comment: text('comment'),
    metadata: jsonb<Record<string, unknown>>('metadata'),
    /** What it was about, as it stood then: the question, the answer, the model. */
    snapshot: jsonb<Record<string, unknown>>('snapshot').notNull(),
    model: text('model'),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [
    foreignKey({
      name: 'feedback_message',
      columns: [t.conversationId, t.messageId],
      foreignColumns: [messages.conversationId, messages.id],
    }).onDelete('cascade'),
    unique('feedback_one_each').on(t.userId, t.messageId),
    index('feedback_by_model').on(t.tenantId, t.model, t.createdAt),
    index('feedback_message').on(t.conversationId, t.messageId),
  ],
)

/** Rows that are gone, for devices that have not heard of it yet. */
export const deletions = pgTable(
  'deletions',
  {
    userId: uuid('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    kind: text('kind').$type<'conversation' | 'message'>().notNull(),
    id: uuid('id').notNull(),
    conversationId: uuid('conversation_id').notNull(),
    at: instant('at').notNull(),
    changed: xid8('changed').notNull().default(sql`pg_current_xact_id()`),
  },
  (t) => [index('deletions_changed').on(t.userId, t.changed)],
)

/** What running answers have said so far, in pieces, so that a killed process loses at most a second of text. */
export const runCheckpoints = pgTable(
  'run_checkpoints',
  {
    runId: uuid('run_id')
      .notNull()
      .references(() => runs.id, { onDelete: 'cascade' }),
    /** Number of the last event that `text` includes. */
    seq: integer('seq').notNull(),
    text: text('text').notNull(),
  },
  (t) => [unique('run_checkpoints_order').on(t.runId, t.seq)],
)

/** Requests that came with an `Idempotency-Key`, and what they were answered. */
export const idempotencyKeys = pgTable(
  'idempotency_keys',
  {
    tenantId: uuid('tenant_id')
      .notNull()
      .references(() => tenants.id),
    userId: uuid('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    key: text('key').notNull(),
    /** The route's template, for people who look in here. */
    operation: text('operation').notNull(),
    /** SHA-256 of the request. */
    fingerprint: text('fingerprint').notNull(),
    /** The process that works on it; when its heartbeat stops, another may. */
    instanceId: uuid('instance_id').notNull(),
    state: text('state').$type<'running' | 'done'>().notNull(),
    status: integer('status'),
    headers: jsonb<Record<string, string>>('headers'),
    /** Encrypted: answers hold secrets, a new API key for one. */
    body: bytea('body'),
    createdAt: instant('created_at').notNull(),
    expiresAt: instant('expires_at').notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.tenantId, t.userId, t.key] }),
    index('idempotency_keys_expired').on(t.expiresAt),
    index('idempotency_keys_user').on(t.userId),
  ],
)

/** Processes that serve this database. */
export const instances = pgTable('instances', {
  id: uuid('id').primaryKey(),
  heartbeatAt: instant('heartbeat_at').notNull(),
})
