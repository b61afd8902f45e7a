import { newId } from '../../lib/ids'
import { retry } from '../../lib/retry'
import type { ChatRequest } from '../../llm/port'
import type { Rater } from '../../llm/rater'
import type { Deployment } from '../../llm/routes'
import type { Terms } from '../../llm/terms'
import type { Owner, User } from '../../store/port'
import type { Insufficient, LedgerAccount, LedgerStore, NewReservation, UsageBeginning } from '../../store/port-money'
import type { Tenant } from '../../store/port-tenants'
import { keyAccount, personAccount, tenantAccount } from './account-ids'
import { amountOf, choices, clip, clipped, FIRST_OUTPUT, type Held, limitOf, promptCost } from './amounts'
import { insufficient, noPrice } from './refusals'

/** What of a tenant matters to what its people pay. */
export type TenantTerms = Pick<Tenant, 'marginBp' | 'billing'>

/** Where a stored answer is. */
export interface AnswerPlace {
  conversationId: string
  /** Null where the store gives it later. */
  messageId: string | null
  runId: string
}

/** Who asks what, of whom. */
export interface Asked {
  user: User
  /** As the caller named it. */
  model: string
  /** All that may answer, the likeliest first. */
  deployments: [Deployment, ...Deployment[]]
  /** Absent for what is not stored. */
  place?: AnswerPlace | undefined
  /** The model may use tools of this server, and is asked again with what they answer. */
  tools?: boolean | undefined
  /** Vectors are asked for: nothing is answered in words. */
  vectors?: boolean | undefined
}

export interface AdmissionDeps {
  ledger: Pick<LedgerStore, 'open' | 'credit' | 'reserve' | 'entries' | 'balance'>
  rater: Pick<Rater, 'terms'>
  tenants: (tenantId: string) => Promise<TenantTerms>
  /** Whether people pay in advance where their tenant does not say. */
  mode: 'metered' | 'prepaid'
  /** Nano-dollars that who pays in advance is given once. */
  signupCredit: bigint
  /** Milliseconds from reserving to when a sweeper may give it back. */
  lifetimeMs: number
  /** Something was refused: for those who count. */
  onRefused: (reason: 'balance' | 'budget' | 'unpriced') => void
  now: () => Date
}

/** Looks at a balance that others draw on, too. */
const TRIES = 4

/** Lets nobody ask a model before money is kept back for it. */
export class Admission {
  constructor(private readonly deps: AdmissionDeps) {}

  /**
   * @throws AppError INSUFFICIENT_BALANCE when the balance or a budget does not pay for a few words; FORBIDDEN when nobody
   *   knows the price and the caller is limited; UPSTREAM_UNAVAILABLE when the books cannot be written.
   */
  async admit(asked: Asked, request: ChatRequest): Promise<Held> {
    const { rater, tenants, now } = this.deps
    const { user, deployments } = asked
    const [terms, { marginBp, billing }] = await Promise.all([
      rater.terms(deployments, request),
      tenants(user.tenantId),
    ])
    const most = limitOf(request.params) ?? terms.maxOutputTokens ?? FIRST_OUTPUT
    const usage = beginning(asked, terms, now())
    const amount = amountOf(terms, marginBp, Math.min(most, FIRST_OUTPUT) * choices(request))
    const unpriced = terms.unpriced || (terms.partly && !asked.vectors)
    const first = this.reservation(asked, usage, { amount, unpriced })
    const { accountIds, optionalAccountIds, runId, expiresAt } = first
    const held: Held = {
      id: first.id,
      amount: first.amount,
      reservation: { accountIds, optionalAccountIds, runId, expiresAt },
      limited: false,
      terms,
      marginBp,
      usage,
      request,
      clipped: false,
    }
    return this.reserve(held, { first, limited: (billing ?? this.deps.mode) === 'prepaid', user })
  }

  private async reserve(held: Held, { first, limited, user }: Trying): Promise<Held> {
    let asking = first
    let { request } = held
    let looked = false
    for (let tries = 0; ; ) {
      const [answer] = await this.write(asking)
      switch (answer?.outcome) {
        case 'reserved': {
          const { amount } = asking
          const { limited, available = amount } = answer
          // Of one that was there already, what is left beside it is told.
          if (limited && available >= amount) request = clipped({ ...held, request }, available)
          return { ...held, amount, limited, request, clipped: request !== held.request }
        }
        case 'no_account':
          if (++tries === TRIES) throw new Error('An account that was just opened is not there')
          await this.open(user, limited)
          continue
        case 'unpriced':
          this.deps.onRefused('unpriced')
          throw noPrice(held)
        case 'insufficient': {
          if (!looked && (await this.granted(user, limited, answer))) {
            looked = true
            continue
          }
          const shorter = ++tries < TRIES ? clip(held, answer.available) : undefined
          if (!shorter) {
            this.deps.onRefused(answer.budget ? 'budget' : 'balance')
            throw insufficient(answer, first.amount)
          }
          request = shorter.request
          asking = { ...asking, amount: shorter.amount }
          continue
        }
        default:
          throw new Error(`A reservation with a new id was ${answer?.outcome}`)
      }
    }
  }

  /** Nobody knows whether a write that failed was done: the same id again is the same reservation. */
  private write(reservation: NewReservation) {
    return retry(() => this.deps.ledger.reserve([reservation]), { attempts: 2, baseMs: 50 })
  }

  /** A person's account, opened if they have none. */
  async account(owner: Owner): Promise<LedgerAccount> {
    const id = personAccount(owner.tenantId, owner.userId)
    const known = await this.deps.ledger.balance(id)
    if (known) return known
    const { billing } = await this.deps.tenants(owner.tenantId)
    await this.open(owner, (billing ?? this.deps.mode) === 'prepaid')
    const opened = await this.deps.ledger.balance(id)
    if (!opened) throw new Error('An account that was just opened is not there')
    return opened
  }

  /** A person's first answer opens their account. */
  private async open({ tenantId, userId }: Owner, limited: boolean): Promise<void> {
    const { ledger, signupCredit, now } = this.deps
    const id = personAccount(tenantId, userId)
    await ledger.open({ id, tenantId, kind: 'user', ownerId: userId, limited, at: now() })
    if (limited && signupCredit > 0n) await this.grant(tenantId, userId)
  }

  /**
   * The process may have died between opening the account and its grant: an account without any entry gets it now. Where there is
   * one, another answer may have brought it just now, behind the look that found nothing.
   * @returns whether another look is worth it.
   */
  private async granted({ tenantId, userId }: User, limited: boolean, { budget }: Insufficient): Promise<boolean> {
    const { ledger, signupCredit } = this.deps
    if (!limited || signupCredit <= 0n || budget) return false
    const { total } = await ledger.entries(personAccount(tenantId, userId), { page: 1, limit: 1 })
    if (total === 0) await this.grant(tenantId, userId)
    return true
  }

  private async grant(tenantId: string, userId: string): Promise<void> {
    const { ledger, signupCredit, now } = this.deps
    await ledger.credit({
      id: newId(),
      accountId: personAccount(tenantId, userId),
      amount: signupCredit,
      kind: 'grant',
      reason: 'Credit to begin with',
      actorId: null,
      idempotencyKey: `signup:${userId}`,
      at: now(),
    })
  }

  private reservation({ user, place }: Asked, usage: UsageBeginning, { amount, unpriced }: Sum): NewReservation {
    const { tenantId, userId, keyId } = user
    return {
      id: newId(),
      accountIds: [personAccount(tenantId, userId)],
      optionalAccountIds: [...(keyId ? [keyAccount(tenantId, keyId)] : []), tenantAccount(tenantId)],
      amount,
      ...(unpriced ? { unpriced } : {}),
      usage,
      runId: place?.runId ?? null,
      expiresAt: new Date(usage.createdAt.getTime() + this.deps.lifetimeMs),
      at: usage.createdAt,
    }
  }
}

interface Sum {
  amount: bigint
  unpriced: boolean
}

interface Trying {
  first: NewReservation
  /** Whether an account that is opened now pays in advance. */
  limited: boolean
  user: User
}

const beginning = ({ user, model, place }: Asked, terms: Terms, createdAt: Date): UsageBeginning => ({
  tenantId: user.tenantId,
  userId: user.userId,
  keyId: user.keyId ?? null,
  conversationId: place?.conversationId ?? null,
  messageId: place?.messageId ?? null,
  runId: place?.runId ?? null,
  model,
  promptTokens: terms.promptTokens,
  // As the provider charges: whoever settles it adds the margin.
  promptNanos: promptCost({ terms, marginBp: 0 }, terms.promptTokens),
  outputRate: terms.outputRate,
  createdAt,
})
