import type { Cache, CacheOptions, CacheOutcome, CacheUse, Wanted } from './port'
import type { Entry, Look, Shelf } from './shelf'
import { fromText, toText } from './text'

/** The cache, wherever its entries are. */
export class KeptCache implements Cache {
  /** What is being loaded, by place and mark: whoever comes after a `forget` does not wait for what began before it. */
  private readonly flights = new Map<string, Promise<string>>()
  private readonly now: () => number

  constructor(
    private readonly shelf: Shelf,
    private readonly options: CacheOptions = {},
  ) {
    this.now = options.now ?? Date.now
  }

  async get<T>(wanted: Wanted, load: () => Promise<T>): Promise<T> {
    if (wanted.ttlMs <= 0) return load()
    const look = await this.shelf.look(wanted)
    const { outcome, value } = this.judge(look, wanted)
    this.options.onAsked?.(wanted.use, outcome)
    if (outcome === 'hit') return value as T
    const loading = this.load(wanted, look, load)
    if (outcome !== 'stale') return fromText(await loading) as T
    loading.catch((err) => this.fault('what is kept could not be renewed', wanted, err))
    return value as T
  }

  forget(use: CacheUse, owners: readonly string[] | 'everybody'): Promise<void> {
    return this.shelf.forget(use, owners)
  }

  mode() {
    return this.shelf.mode()
  }

  close(): void {
    this.shelf.close()
  }

  /** What was found is only good for its owner, under its mark, and for a while. */
  private judge(look: Look | undefined, wanted: Wanted): { outcome: CacheOutcome; value?: unknown } {
    if (!look) return { outcome: 'away' }
    const { entry, mark } = look
    if (entry && isForeign(entry, wanted)) {
      this.fault('the cache answered with what is somebody else’s', wanted)
      return { outcome: 'foreign' }
    }
    const age = entry ? this.now() - entry.at : Number.POSITIVE_INFINITY
    if (!entry || entry.mark !== mark || !(age < wanted.ttlMs + (wanted.staleMs ?? 0))) return { outcome: 'miss' }
    try {
      return { outcome: age < wanted.ttlMs ? 'hit' : 'stale', value: fromText(entry.text) }
    } catch (err) {
      this.fault('the cache answered with what is no JSON', wanted, err)
      return { outcome: 'miss' }
    }
  }

  /** One call for all who want the same now. Never throws at once. */
  private load(wanted: Wanted, look: Look | undefined, load: () => Promise<unknown>): Promise<string> {
    const { use, owner, key } = wanted
    const flight = JSON.stringify([use, owner, key, look?.mark])
    const begun = this.flights.get(flight)
    if (begun) return begun
    const loading = this.loaded(wanted, look, load).finally(() => this.flights.delete(flight))
    this.flights.set(flight, loading)
    return loading
  }

  private async loaded(wanted: Wanted, look: Look | undefined, load: () => Promise<unknown>): Promise<string> {
    const { use, owner, key, ttlMs, staleMs = 0 } = wanted
    const at = this.now()
    const text = toText(await load())
    if (look) this.shelf.put({ use, owner, key, mark: look.mark, at, text }, ttlMs + staleMs)
    return text
  }

  private fault(message: string, { use }: Wanted, err?: unknown): void {
    this.options.onFault?.(message, err === undefined ? { use } : { use, err })
  }
}

const isForeign = (entry: Entry, { use, owner, key }: Wanted) =>
  entry.use !== use || entry.owner !== owner || entry.key !== key
