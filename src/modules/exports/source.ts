import type { ArchivedBranch, ArchiveStore, Conversation, Message, Owner } from '../../store/port'

/** What is read of one conversation at once: so many messages, or about so many bytes of them. */
const PAGE_ROWS = 200
const PAGE_BYTES = 1_000_000

interface Node {
  id: string
  parentId: string | null
  size: number
}

/** One conversation to be written out: its shape is in memory, its text is read in pages. */
export class Source {
  private readonly byId: Map<string, Node>
  private readonly below: Map<string | null, Node[]>

  private constructor(
    private readonly archive: ArchiveStore,
    private readonly owner: Owner,
    readonly conversation: Conversation,
    readonly branches: ArchivedBranch[],
    outline: Node[],
  ) {
    this.byId = new Map(outline.map((node) => [node.id, node]))
    this.below = Map.groupBy(outline, ({ parentId }) => parentId)
  }

  /** @returns undefined when it has gone meanwhile. */
  static async open(archive: ArchiveStore, owner: Owner, id: string): Promise<Source | undefined> {
    const found = await archive.find(owner, id)
    return found && new Source(archive, owner, found.conversation, found.branches, await archive.outline(owner, id))
  }

  /** In the order of their alternatives. */
  childrenOf(id: string | null): string[] {
    return this.below.get(id)?.map((node) => node.id) ?? []
  }

  /** Every message, parents before children, alternatives in their order: an order that does not depend on ids. */
  all(): AsyncGenerator<Message> {
    const order = [...(this.below.get(null) ?? [])]
    for (let i = 0; i < order.length; i++) {
      // One by one: a spread of very many arguments is an error.
      for (const child of this.below.get(order[i]?.id ?? '') ?? []) order.push(child)
    }
    return this.read(order)
  }

  /** The path that is shown, oldest first. */
  active(): AsyncGenerator<Message> {
    const path: Node[] = []
    let node = this.byId.get(this.conversation.activeLeafId ?? '')
    while (node) {
      path.push(node)
      node = this.byId.get(node.parentId ?? '')
    }
    return this.read(path.reverse())
  }

  private async *read(nodes: Node[]): AsyncGenerator<Message> {
    let ids: string[] = []
    let size = 0
    for (const [i, node] of nodes.entries()) {
      ids.push(node.id)
      size += node.size
      const next = nodes[i + 1]
      if (next && ids.length < PAGE_ROWS && size + next.size <= PAGE_BYTES) continue
      yield* await this.archive.messages(this.owner, this.conversation.id, ids)
      ids = []
      size = 0
    }
  }
}
