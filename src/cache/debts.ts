/** Marks that are owed to Redis. Beyond so many, everything is forgotten instead. */
const MOST = 10_000

/** What Redis was told to forget and has not said it has. */
export class Debts {
  private readonly owed = new Map<string, number>()
  private count = 0

  /** @param everything the names that stand for all others. */
  add(names: readonly string[], everything: readonly string[]): void {
    const tooMany = this.owed.size + names.length > MOST
    if (tooMany) this.owed.clear()
    for (const name of tooMany ? everything : names) this.owed.set(name, ++this.count)
  }

  /** All that is owed now, with the number of the last that was added. */
  due(): { names: string[]; until: number } {
    return { names: [...this.owed.keys()], until: this.count }
  }

  /** What was added again meanwhile is still owed. */
  paid({ names, until }: { names: string[]; until: number }): void {
    for (const name of names) if ((this.owed.get(name) ?? 0) <= until) this.owed.delete(name)
  }
}
