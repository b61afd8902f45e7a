import { AppError } from '../../errors'
import { rejectRouting } from '../../lib/parameters'
import type { Asker } from '../../llm/router'
import type { Standing } from '../../load/places'
import type { Store, User, Wallet } from '../../store/port'
import type { Runs } from '../runs/service'
import type { Tenants } from '../tenants/service'
import { askerOf, type Params } from './request'

export interface AdmissionDeps {
  store: Pick<Store, 'wallets'>
  runs: Pick<Runs, 'admit'>
  /** Says what somebody may use, and with which keys. */
  tenants: Pick<Tenants, 'access'>
  /** Nano-dollars that must be left, and a little more, for an answer to be begun. */
  minBalance: bigint
}

/** Who may ask a model now. */
export class Admission {
  constructor(private readonly deps: AdmissionDeps) {}

  /**
   * @returns who asks, and how they stand where answers wait for room. @throws AppError when the server is about to stop, when the
   * request would choose a provider itself, or when the balance is used up.
   */
  async admit(user: User, body: Params): Promise<{ asker: Asker; standing: Standing }> {
    this.deps.runs.admit()
    rejectRouting(body)
    const [wallet, access] = await Promise.all([this.wallet(user), this.deps.tenants.access(user)])
    return { asker: askerOf(user, wallet, access), standing: wallet.available === null ? 'metered' : 'paid' }
  }

  /** @throws AppError INSUFFICIENT_BALANCE */
  private async wallet(user: User): Promise<Wallet> {
    const wallet = await this.deps.store.wallets.of(user)
    if (wallet.available !== null && wallet.available <= this.deps.minBalance) {
      throw new AppError('INSUFFICIENT_BALANCE', 'Your balance is used up. Top it up to go on')
    }
    return wallet
  }
}
