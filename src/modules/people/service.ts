import { AppError } from '../../errors'
import { paged } from '../../lib/page'
import { storable } from '../../lib/text'
import type { Identity } from '../../plugins/auth'
import type { Store } from '../../store/port'
import type { Person, PersonPatch } from '../../store/port-tenants'
import type { Accounts } from '../accounts/service'
import { type PeopleQuery, type PersonChange, personJson } from './model'

/** Which person, and in which tenant: the administrator's own unless it is said. */
export interface Whom {
  id: string
  tenantId?: string | undefined
}

/** The people of a tenant, for its administrators. Whoever calls has made sure that they are some. */
export class People {
  constructor(
    private readonly store: Pick<Store, 'people' | 'tenants'>,
    private readonly accounts: Pick<Accounts, 'forgetUser'>,
    private readonly now: () => Date,
  ) {}

  async list(actor: Identity, { tenant_id, q, page = 1, limit = 20 }: PeopleQuery) {
    const tenantId = tenantFor(actor, tenant_id)
    if (!(await this.store.tenants.find(tenantId))) throw noTenant()
    const { items, total } = await this.store.people.list(tenantId, { q: q && storable(q), page, limit })
    return paged(items.map(personJson), { page, limit }, total)
  }

  async get(actor: Identity, whom: Whom) {
    return personJson(await this.find(actor, whom))
  }

  /** What is changed takes effect at once here, also for sessions and API keys that are in use. */
  async update(actor: Identity, whom: Whom, change: PersonChange) {
    const person = await this.find(actor, whom)
    allow(actor, person, change)
    const at = this.now()
    const updated = await this.store.people.update(person.tenantId, person.userId, patchOf(change, at), at)
    if (!updated) throw noPerson()
    this.accounts.forgetUser(person.userId)
    return personJson(updated)
  }

  private async find(actor: Identity, { id, tenantId }: Whom): Promise<Person> {
    const person = await this.store.people.find(tenantFor(actor, tenantId), id)
    if (!person) throw noPerson()
    return person
  }
}

/** @throws AppError NOT_FOUND for a tenant that is not theirs to see. */
function tenantFor({ role, tenantId }: Identity, wanted: string | undefined): string {
  const id = wanted?.toLowerCase() ?? tenantId
  if (id !== tenantId && role !== 'owner') throw noTenant()
  return id
}

/** @throws AppError FORBIDDEN, CONFLICT: nobody gives what they do not have, or cuts off the branch they sit on. */
function allow(actor: Identity, person: Person, { role, disabled }: PersonChange): void {
  if (actor.role !== 'owner' && (person.role === 'owner' || role === 'owner')) {
    throw new AppError('FORBIDDEN', 'Only an owner of the installation can do that')
  }
  const newRole = role !== undefined && role !== person.role
  // Whoever finds a key shall not be able to make themselves at home.
  if (newRole && actor.via === 'api-key') {
    throw new AppError('FORBIDDEN', 'Roles are given with an access token, not with a key')
  }
  if (actor.userId === person.userId && (newRole || disabled)) {
    throw new AppError('CONFLICT', 'Somebody else has to do that to you')
  }
}

const patchOf = ({ allowed_models, disabled, ...same }: PersonChange, at: Date): PersonPatch => ({
  ...same,
  ...(allowed_models === undefined ? {} : { allowedModels: allowed_models }),
  ...(disabled === undefined ? {} : { disabledAt: disabled ? at : null }),
})

const noTenant = () => new AppError('NOT_FOUND', 'There is no such tenant')
const noPerson = () => new AppError('NOT_FOUND', 'There is no such person')
