import { LRUCache } from 'lru-cache'
import { derivedId } from '../../lib/ids'
import type { User, Wallet, WalletStore } from '../port'
import type { LedgerStore } from '../port-money'

/** Milliseconds for which a balance that has something left is believed: the ledger decides on each answer anyhow. */
const BELIEVED = 5000

/** What people have left, from the books. Whoever was never given anything is the ledger's to refuse: it may be about to give. */
export class SqlWallets implements WalletStore {
  private readonly left: LRUCache<string, Pick<Wallet, 'available'>>

  constructor(
    private readonly ledger: Pick<LedgerStore, 'balance' | 'entries'>,
    believed = BELIEVED,
  ) {
    this.left = new LRUCache({ max: 10_000, ttl: believed })
  }

  async of({ tenantId, userId, litellmKey }: User): Promise<Wallet> {
    const known = this.left.get(userId) ?? (await this.look(tenantId, userId))
    return { ...known, litellmKey, serverKey: true }
  }

  private async look(tenantId: string, userId: string): Promise<Pick<Wallet, 'available'>> {
    const known = { available: await this.read(tenantId, userId) }
    // Who was just given money shall not wait for it.
    if (known.available === null || known.available > 0n) this.left.set(userId, known)
    return known
  }

  private async read(tenantId: string, userId: string): Promise<bigint | null> {
    const id = derivedId('ledger', 'user', tenantId, userId)
    const { available = null, balance = 0n } = (await this.ledger.balance(id)) ?? {}
    if (available === null || balance !== 0n) return available
    return (await this.ledger.entries(id, { page: 1, limit: 1 })).total === 0 ? null : available
  }
}
