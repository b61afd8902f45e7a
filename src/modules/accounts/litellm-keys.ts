import { LRUCache } from 'lru-cache'
import type { LiteLlmPeople, LiteLlmSpend } from '../../llm/litellm-people'
import type { Store, User, WalletStore } from '../../store/port'
import type { SignIn } from './sign-in'

/** Milliseconds that somebody who registers waits for a key. */
const PATIENCE = 2000
/** Milliseconds until it is tried again for somebody, after a failure; and until we look again whether they have one. */
const AGAIN = 60_000
const LOOK_AGAIN = 600_000
/** Milliseconds for which a spend is believed, and for which one that cannot be read is not asked for again. */
const BELIEVED = 60_000
const UNREAD = 10_000
const PEOPLE = 10_000

export interface LitellmKeysDeps {
  /** Absent where people get no keys from here: then nothing is ever done. */
  proxy: Pick<LiteLlmPeople, 'makeKey' | 'spend'> | undefined
  store: { accounts: Pick<Store['accounts'], 'findByEmail'>; people: Pick<Store['people'], 'setLitellmKey'> }
  now: () => Date
  onFault: (message: string, error: unknown) => void
}

interface Somebody {
  userId: string
  email: string | null
}

/**
 * Gives people who have their accounts here a key of their own at the LiteLLM proxy: when they register, or later when that
 * failed. Nobody is refused anything for want of one: the server's own key pays then.
 */
export class LitellmKeys {
  private readonly restUntil = new LRUCache<string, number>({ max: PEOPLE })
  private readonly making = new Map<string, Promise<void>>()
  private readonly spends = new LRUCache<string, { until: number; spend: Promise<LiteLlmSpend | undefined> }>({
    max: PEOPLE,
  })
  private failing = false

  constructor(private readonly deps: LitellmKeysDeps) {}

  /** Somebody registered. Never throws, and waits for their key two seconds at most: it is made all the same. */
  async registered(person: Somebody): Promise<void> {
    if (!this.deps.proxy) return
    const patience = Promise.withResolvers<void>()
    const timer = setTimeout(patience.resolve, PATIENCE)
    await Promise.race([this.provide(person), patience.promise])
    clearTimeout(timer)
  }

  /** Somebody is here: if they have no key, one is made meanwhile, tried at most once a minute. Never throws. */
  wanted(person: Somebody & Partial<Pick<User, 'litellmKey' | 'caller'>>): void {
    // Who comes with an outside token has an account elsewhere.
    if (this.deps.proxy && !person.litellmKey && !person.caller) void this.provide(person)
  }

  /** What the proxy says they have spent; undefined when it does not say so within two seconds. Never throws. */
  async spend({ userId, litellmKey }: Pick<User, 'userId' | 'litellmKey'>): Promise<LiteLlmSpend | undefined> {
    const { proxy, now } = this.deps
    if (!proxy || !litellmKey) return undefined
    const known = this.spends.get(userId)
    if (known && known.until > now().getTime()) return known.spend
    const entry = { until: now().getTime() + BELIEVED, spend: proxy.spend(userId).catch(() => this.unread(userId)) }
    this.spends.set(userId, entry)
    return entry.spend
  }

  private unread(userId: string): undefined {
    const entry = this.spends.get(userId)
    if (entry) entry.until = this.deps.now().getTime() + UNREAD
  }

  private provide(person: Somebody): Promise<void> {
    const { userId } = person
    const begun = this.making.get(userId)
    if (begun) return begun
    if ((this.restUntil.get(userId) ?? 0) > this.deps.now().getTime()) return Promise.resolve()
    const making = this.tryFor(person)
      .then(
        () => this.rest(userId, LOOK_AGAIN),
        (error) => {
          this.rest(userId, AGAIN)
          this.failed(error)
        },
      )
      .finally(() => this.making.delete(userId))
    this.making.set(userId, making)
    return making
  }

  private async tryFor({ userId, email }: Somebody): Promise<void> {
    const { store, proxy } = this.deps
    // Only accounts of ours: one with a password. Another server, or somebody by hand, may have given a key meanwhile.
    const account = email ? (await store.accounts.findByEmail(email))?.user : undefined
    if (!proxy || account?.userId !== userId || account.litellmKey) return
    await store.people.setLitellmKey(userId, await proxy.makeKey({ userId, email }))
    this.failing = false
  }

  private rest(userId: string, ms: number): void {
    this.restUntil.set(userId, this.deps.now().getTime() + ms)
  }

  /** A proxy without a database fails for everybody, always: that is worth one line. */
  private failed(error: unknown): void {
    if (!this.failing) this.deps.onFault('no LiteLLM key could be made; the server’s own key pays', error)
    this.failing = true
  }
}

/** Signing in, after which people have keys. */
export const signInWithKeys = (signIn: SignIn, keys: LitellmKeys): SignIn => ({
  async register(wanted, address) {
    const signedIn = await signIn.register(wanted, address)
    await keys.registered({ userId: signedIn.user.id, email: signedIn.user.email })
    return signedIn
  },
  async login(given, address) {
    const signedIn = await signIn.login(given, address)
    keys.wanted({ userId: signedIn.user.id, email: signedIn.user.email })
    return signedIn
  },
  refresh: (refreshToken) => signIn.refresh(refreshToken),
  logout: (credential, refreshToken) => signIn.logout(credential, refreshToken),
})

/** Whoever is about to pay gets a key, for the next time. */
export const walletsWithKeys = (wallets: WalletStore, keys: LitellmKeys): WalletStore => ({
  of(user) {
    keys.wanted(user)
    return wallets.of(user)
  },
})
