import { AppError } from '../../errors'
import { toUsd } from '../../lib/money'
import type { Insufficient } from '../../store/port-money'
import type { Held } from './amounts'

const OWNERS = { user: 'Your', key: "This API key's", tenant: "Your organisation's" }

export function insufficient(
  { available, budget }: Pick<Insufficient, 'available' | 'budget'>,
  needed: bigint,
): AppError {
  const left = available > 0n ? available : 0n
  const sums = `this answer needs up to $${usd(needed)}, and $${usd(left)} is left`
  const message = budget
    ? `${OWNERS[budget.kind]} ${budget.period === 'total' ? 'budget' : `budget for this ${budget.period}`} does not allow it: ${sums}. Ask an administrator to raise it${budget.period === 'total' ? '' : ', or wait for the next one'}`
    : `The balance does not pay for it: ${sums}. Top it up, or ask for less`
  return new AppError('INSUFFICIENT_BALANCE', message, {
    details: {
      reason: budget ? 'budget' : 'balance',
      available_usd: toUsd(left),
      needed_usd: toUsd(needed),
      period: budget?.period ?? null,
    },
  })
}

const usd = (nanos: bigint): string =>
  toUsd(nanos)
    .toFixed(6)
    .replace(/0{1,4}$/, '')

export const noPrice = ({ usage: { model }, terms }: Pick<Held, 'usage' | 'terms'>) =>
  new AppError(
    'FORBIDDEN',
    `Nobody has said what ${model.slice(0, 100)} costs${terms.unpriced ? '' : ' for all of this (its answer, sound, the service tier)'}, and your use is limited. Whoever runs this server can set its price in MODELS_FILE, or say by UNKNOWN_PRICE what such models cost`,
    { details: { reason: 'unknown_price' } },
  )
