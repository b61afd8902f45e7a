import { AppError } from '../../errors'
import type { JsonCall, JsonClient } from '../../lib/json-client'
import { nanosOf } from '../../lib/money'
import type { Owner, User, Wallet, WalletStore } from '../port'
import { callerOf, list } from './api'
import type { Row } from './rows'

/** The tables behind the function, through PostgREST, with the caller's own token: Row Level Security decides. */
export class SupabaseTables {
  constructor(private readonly client: JsonClient) {}

  /** @throws AppError; whatever is neither rows nor a refusal of the token is the operator's to mend. */
  async rows(owner: Owner, call: Pick<JsonCall, 'method' | 'path' | 'query' | 'body' | 'headers'>): Promise<Row[]> {
    const caller = callerOf(owner)
    if (!caller) return []
    const { status, body } = await this.client.call({ ...call, group: call.path, ...caller })
    if (status < 300) return list(body ?? [])
    const { message } = (body ?? {}) as Row
    const cause = new Error(`HTTP ${status}: ${String(message ?? '').slice(0, 300)}`)
    if (status === 401)
      throw new AppError('UNAUTHORIZED', 'Supabase does not accept this token: sign in again', { cause })
    throw new AppError('UPSTREAM_ERROR', `Supabase refused to read or write ${call.path.slice(1)} (HTTP ${status})`, {
      cause,
    })
  }
}

/** Milliseconds after which a wallet is read again while the old one still serves, and until which it may. */
const FRESH = 5000
const USABLE = 30_000
/** Wallets remembered at most. */
const KEEP = 10_000

/** Wallets from `user_profiles`; a person who has no row yet gets one. */
export class ProfileWallets implements WalletStore {
  /** By user id. A refusal is never remembered: whoever has topped up goes on at once. */
  private readonly known = new Map<string, { wallet: Wallet; at: number }>()

  constructor(
    private readonly tables: SupabaseTables,
    /** Nano-dollars that must be left; see `Chat`. */
    private readonly minimum: bigint,
  ) {}

  async of(user: User): Promise<Wallet> {
    const known = this.known.get(user.userId)
    const age = known ? Date.now() - known.at : Number.POSITIVE_INFINITY
    if (!known || age > USABLE) return this.read(user)
    if (age > FRESH) void this.read(user).catch(() => {})
    return known.wallet
  }

  /** Reads it anew, e.g. because something was spent. */
  async read(user: Pick<User, keyof Owner | 'email'>): Promise<Wallet> {
    const wallet = toWallet(await this.profile(user))
    this.known.delete(user.userId)
    if (wallet.available === null || wallet.available > this.minimum) {
      this.known.set(user.userId, { wallet, at: Date.now() })
      if (this.known.size > KEEP) this.known.delete(this.known.keys().next().value ?? '')
    }
    return wallet
  }

  private async profile(user: Pick<User, keyof Owner | 'email'>): Promise<Row> {
    const path = '/user_profiles'
    const query = { id: `eq.${user.userId}`, select: '*' }
    const [found] = await this.tables.rows(user, { method: 'GET', path, query })
    if (found) return found
    const [made] = await this.tables.rows(user, {
      method: 'POST',
      path,
      body: { id: user.userId, ...(user.email ? { email: user.email } : {}) },
      // Another request of the same person may have been first: then nothing comes back.
      headers: { prefer: 'return=representation,resolution=ignore-duplicates' },
    })
    const [row = made] = made ? [made] : await this.tables.rows(user, { method: 'GET', path, query })
    if (!row) throw new AppError('UPSTREAM_ERROR', 'Supabase gave no user_profiles row and took none')
    return row
  }
}

function toWallet({ available_balance: balance, litellm_key: key }: Row): Wallet {
  const available = balance === null || balance === undefined ? null : nanosOf(balance)
  // An amount nobody can read must not count as no limit.
  if (available === undefined)
    throw new AppError('UPSTREAM_ERROR', 'available_balance of this profile is not an amount')
  return { available, litellmKey: typeof key === 'string' && key ? key : null, serverKey: false }
}
