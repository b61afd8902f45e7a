import { AppError } from '../../errors'
import { newId } from '../../lib/ids'
import { API_KEY_PREFIX, hashToken, randomToken } from '../../lib/tokens'
import type { Identity } from '../../plugins/auth'
import type { Owner, Store } from '../../store/port'
import type { Accounts } from '../accounts/service'
import { keyJson, type NewKey } from './model'

/** Keys a person may have. */
const LIMIT = 50

/** Personal API keys: what an OpenAI client signs in with. */
export class Keys {
  constructor(
    private readonly store: Pick<Store, 'keys'>,
    private readonly accounts: Pick<Accounts, 'forget'>,
    private readonly now: () => Date,
  ) {}

  /** The answer is the only time the key itself is seen. */
  async create(user: Identity, { name, expires_at }: NewKey) {
    refuseKeys(user)
    const key = randomToken(API_KEY_PREFIX)
    const createdAt = this.now()
    const expiresAt = expires_at ? new Date(expires_at) : null
    if (expiresAt && expiresAt <= createdAt) throw new AppError('VALIDATION_ERROR', 'expires_at must be in the future')
    const row = {
      id: newId(),
      name,
      hash: hashToken(key),
      lastFour: key.slice(-4),
      createdAt,
      expiresAt,
    }
    return { ...keyJson(await this.store.keys.create(user, row, LIMIT)), key }
  }

  async list(owner: Owner) {
    return (await this.store.keys.list(owner)).map(keyJson)
  }

  async remove(user: Identity, id: string) {
    refuseKeys(user)
    const hash = await this.store.keys.remove(user, id)
    if (!hash) throw new AppError('NOT_FOUND', 'There is no such key')
    this.accounts.forget(hash)
    return { id, deleted: true }
  }
}

/** A leaked key must not be able to mint others that outlive it. */
function refuseKeys({ via }: Identity): void {
  if (via === 'api-key') throw new AppError('FORBIDDEN', 'Keys are managed with an access token, not with a key')
}
