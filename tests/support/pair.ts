/** Two servers on one database: one makes answers, the other is asked about them. */
import { Pool } from 'pg'
import { type TestApp, testApp } from './app'
import { createDatabase } from './db'
import { type FakeProvider, startFakeProvider } from './fake-provider'
import { type Frame, readSse } from './read-sse'

export interface Begun {
  run: string
  conversation: string
  message: string
  /** All that the maker's own reader gets. */
  rest: ReturnType<typeof readSse>
}

export class Pair {
  private constructor(
    readonly maker: TestApp,
    readonly other: TestApp,
    readonly provider: FakeProvider,
    readonly pool: Pool,
    readonly token: string,
    private readonly drop: () => Promise<void>,
  ) {}

  static async open(env: Record<string, string> = {}): Promise<Pair> {
    const { url, drop } = await createDatabase()
    const provider = startFakeProvider()
    const both = {
      DATABASE_URL: url,
      JWT_SECRET_KEY: 'a secret that both servers know well',
      OPENAI_BASE_URL: provider.url,
      OPENAI_API_KEY: 'sk-test',
      ...env,
    }
    const maker = await testApp(both)
    const other = await testApp(both)
    const { token } = await maker.signUp()
    return new Pair(maker, other, provider, new Pool({ connectionString: url, max: 1 }), token, drop)
  }

  /** Begins an answer at the maker; resolves as soon as the first event has its ids. */
  async begin(model: string, headers: Record<string, string> = {}): Promise<Begun> {
    const json = { model, message: 'go' }
    const response = await this.maker.call('/v1/chat/completions', { token: this.token, json, headers })
    const first = Promise.withResolvers<Frame>()
    const rest = readSse(response, ([frame]) => {
      if (frame) first.resolve(frame)
      return false
    })
    const { run_id, conversation_id, message_id } = (await first.promise).data
    return { run: String(run_id), conversation: String(conversation_id), message: String(message_id), rest }
  }

  stream(run: string, { after, on = this.other }: { after?: number; on?: TestApp } = {}) {
    const query = after === undefined ? '' : `?after=${after}`
    return on.call(`/v1/runs/${run}/stream${query}`, { token: this.token })
  }

  stop(run: string, on = this.other) {
    return on.call(`/v1/runs/${run}/stop`, { method: 'POST', token: this.token })
  }

  /** The `data` of one of our own answers. */
  async get(path: string) {
    return (await (await this.other.call(path, { token: this.token })).json()).data
  }

  async stored(conversation: string) {
    return (await this.get(`/v1/conversations/${conversation}/messages`)).items.at(-1)
  }

  async close(): Promise<void> {
    await this.maker.close()
    await this.other.close()
    await this.provider.stop()
    await this.pool.end()
    await this.drop()
  }
}

/** What a client shows that obeys restarts. */
export function shown(frames: Frame[]): string {
  const restart = frames.findLastIndex(({ event }) => event === 'restart')
  return frames
    .slice(restart + 1)
    .map(({ data }) => data.choices?.[0]?.delta.content ?? '')
    .join('')
}

export const isLast = ({ data }: Frame): boolean =>
  Boolean(data.error ?? data.choices?.some((choice) => choice.finish_reason))
