import { AppError } from '../errors'
import { hashToken } from '../lib/tokens'
import type { Provider } from './port'
import type { Asker } from './router'
import type { Deployment } from './routes'

/** A tenant's own keys, by the names of providers; null: there is one that cannot be read. A map, so that no log shows it. */
export type ProviderKeys = ReadonlyMap<string, string | null>

/**
 * The key that a provider gets in place of the server's: a person's own where people have keys, and nowhere else; otherwise
 * their tenant's.
 */
export const keyFor = (
  { name, personalKeys }: Provider,
  { personal, tenant }: { personal?: string | null | undefined; tenant?: ProviderKeys | undefined },
): string | undefined => (personalKeys ? personal : undefined) ?? tenant?.get(name) ?? undefined

/**
 * Who a failure at a provider is counted for, '' for everybody who uses the server's key: a key that is bad is no matter of
 * others. @param owner a hash of the person's own key, or ''.
 */
export function keyOwner(
  { name, personalKeys }: Provider,
  { owner, tenant }: { owner: string; tenant?: ProviderKeys | undefined },
): string {
  if (personalKeys && owner) return owner
  const key = tenant?.get(name)
  return key ? hashToken(key) : ''
}

/**
 * Without those that take a key of one's own from somebody who has none, and without those where the tenant has a key that
 * cannot be read: the server's must not pay for it. @throws AppError FORBIDDEN, UPSTREAM_UNAVAILABLE when none is left.
 */
export function payableBy({ personalKey, serverKey, providerKeys }: Asker, deployments: Deployment[]): Deployment[] {
  const keyed = deployments.filter(
    ({ provider }) => (provider.personalKeys && personalKey) || providerKeys?.get(provider.name) !== null,
  )
  if (keyed.length === 0) {
    const message =
      "Your organisation's key for this model cannot be read. Whoever runs this service has to set it again"
    throw new AppError('UPSTREAM_UNAVAILABLE', message)
  }
  if (personalKey || serverKey) return keyed
  const payable = keyed.filter(({ provider }) => !provider.personalKeys || providerKeys?.has(provider.name))
  if (payable.length > 0) return payable
  throw new AppError(
    'FORBIDDEN',
    'Your profile has no LiteLLM key yet. Ask whoever runs this service to set litellm_key in your user_profiles row',
  )
}
