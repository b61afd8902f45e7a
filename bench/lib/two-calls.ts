/** The two calls a chat turn needs of an older Edge Function, and nothing else: what they cost by themselves. */

const HEADERS = { authorization: 'Bearer bench', apikey: 'bench', 'content-type': 'application/json' }

interface Added {
  readonly conversation_id: string
  readonly branch_id: string
}

/** One conversation of a project, made with the first call. */
export class TwoCalls {
  private constructor(
    readonly base: string,
    readonly conversationId: string,
  ) {}

  /** @param project the origin of the project. */
  static async open(project: string): Promise<TwoCalls> {
    const base = `${project}/functions/v1/conversation-manager`
    return new TwoCalls(base, (await add(base, {})).conversation_id)
  }

  /** A message is added, then the context is asked for: the second call needs what the first one answers. */
  async make(): Promise<void> {
    const { branch_id } = await add(this.base, { conversation_id: this.conversationId })
    const query = `conversation_id=${this.conversationId}&branch_id=${branch_id}&max_messages=101`
    await answerOf(await fetch(`${this.base}/build-context?${query}`, { headers: HEADERS }))
  }
}

async function add(base: string, place: { conversation_id?: string }): Promise<Added> {
  const body = JSON.stringify({ ...place, role: 'user', content: 'hi' })
  return (await answerOf(await fetch(`${base}/add-message`, { method: 'POST', headers: HEADERS, body }))) as Added
}

async function answerOf(response: Response): Promise<unknown> {
  const { data } = (await response.json()) as { data: unknown }
  if (!response.ok) throw new Error(`the fake Supabase answered ${response.status}`)
  return data
}
