/** Any server reads, resumes and stops the answers of any other: through Redis, and with nothing but the database. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type Redis from 'ioredis'
import { isLast, Pair, shown } from '../support/pair'
import { type Frame, readSse } from '../support/read-sse'
import { connectRedis, type OwnRedis, ownRedis } from '../support/redis'
import { until } from '../support/servers'

const has = (part: string) => (frames: Frame[]) => shown(frames).includes(part)
const ids = (frames: Frame[]) => frames.map(({ id }) => id)
const upTo = (n: number) => Array.from({ length: n }, (_, i) => i + 1)

/** What holds with Redis and without. */
function anywhere(pair: () => Pair): void {
  test('a reader elsewhere ends with the stored text and one end', async () => {
    const { run, conversation, rest } = await pair().begin('slow:10:60')
    const { frames, done } = await readSse(await pair().stream(run))
    await rest
    const stored = await pair().stored(conversation)
    expect(stored.content).toEndWith('t60')
    expect(shown(frames)).toBe(stored.content)
    expect(frames.filter(isLast)).toHaveLength(1)
    expect(done).toBe(true)
  })

  test('a repetition elsewhere reads the answer that is being written', async () => {
    const key = crypto.randomUUID()
    const { run, rest } = await pair().begin('slow:10:40', { 'idempotency-key': key })
    const again = await pair().other.call('/v1/chat/completions', {
      token: pair().token,
      json: { model: 'slow:10:40', message: 'go' },
      headers: { 'idempotency-key': key },
    })
    expect(again.headers.get('idempotency-replayed')).toBe('true')
    const { frames } = await readSse(again)
    expect(frames[0]?.data.run_id).toBe(run)
    expect(shown(frames)).toBe((await rest).text)
  })

  test('stops elsewhere, and everybody has what was stored', async () => {
    const aborted = pair().provider.aborted()
    const { run, conversation, rest } = await pair().begin('slow:20:1000')
    await until(() => pair().provider.openStreams() > 0)
    const elsewhere = pair()
      .stream(run)
      .then((response) => readSse(response))
    const stopped = await pair().stop(run)
    expect(stopped.status).toBe(200)
    expect((await stopped.json()).data).toMatchObject({ id: run, status: 'stopped', error: null })
    const stored = await pair().stored(conversation)
    expect(stored).toMatchObject({ status: 'stopped', finish_reason: 'stopped' })
    for (const { frames } of [await rest, await elsewhere]) {
      expect(shown(frames)).toBe(stored.content)
      expect(frames.at(-1)?.data).toMatchObject({ finish_reason: 'stopped' })
    }
    await until(() => pair().provider.aborted() === aborted + 1)
    const again = await (await pair().stop(run)).json()
    expect(again.data.status).toBe('stopped')
  })

  test('deleting the conversation elsewhere stops its answer', async () => {
    const aborted = pair().provider.aborted()
    const { conversation, rest } = await pair().begin('slow:20:1000')
    await until(() => pair().provider.openStreams() > 0)
    const { other, token } = pair()
    const deleted = await other.call(`/v1/conversations/${conversation}`, { method: 'DELETE', token })
    expect(deleted.status).toBe(200)
    expect((await rest).frames.at(-1)?.data).toMatchObject({ finish_reason: 'stopped' })
    await until(() => pair().provider.aborted() === aborted + 1)
  })

  test('ends an answer whose conversation has gone without asking', async () => {
    const { run, conversation, rest } = await pair().begin('slow:20:1000')
    const elsewhere = pair()
      .stream(run)
      .then((response) => readSse(response))
    await pair().pool.query('delete from conversations where id = $1', [conversation])
    expect((await rest).frames.filter(isLast)).toHaveLength(1)
    expect((await elsewhere).frames.filter(isLast)).toHaveLength(1)
  })

  test('ends an answer that others took for dead and closed', async () => {
    const { run, rest } = await pair().begin('slow:20:1000')
    await pair().pool.query(`update runs set status = 'interrupted', last_seq = 2 where id = $1`, [run])
    expect((await rest).frames.at(-1)?.data.error).toMatchObject({ code: 'UPSTREAM_UNAVAILABLE' })
    expect((await pair().get(`/v1/runs/${run}`)).status).toBe('interrupted')
  })

  test("neither reads nor stops someone else's run, running or finished", async () => {
    const { run, rest } = await pair().begin('slow:10:60')
    const { token } = await pair().maker.signUp()
    const unknown = await pair().other.call(`/v1/runs/${crypto.randomUUID()}/stream`, { token })
    const { code, message } = (await unknown.json()).error
    const refused = async () => {
      for (const answer of [
        await pair().other.call(`/v1/runs/${run}/stream`, { token }),
        await pair().other.call(`/v1/runs/${run}/stream?after=99`, { token }),
        await pair().other.call(`/v1/runs/${run}/stop`, { method: 'POST', token }),
      ]) {
        expect(answer.status).toBe(404)
        expect((await answer.json()).error).toMatchObject({ code, message })
      }
    }
    await refused()
    expect((await rest).text).toEndWith('t60')
    await refused()
  })

  test('beyond the end of a running answer it gives the whole, behind a restart where there was a part', async () => {
    const { run, rest } = await pair().begin('slow:10:40')
    const elsewhere = readSse(await pair().stream(run, { after: 9999 }))
    const here = await readSse(await pair().stream(run, { after: 9999, on: pair().maker }))
    const { text } = await rest
    for (const { frames, done } of [here, await elsewhere]) {
      expect(frames[0]).toMatchObject({ event: 'restart' })
      expect(shown(frames)).toBe(text)
      expect(done).toBe(true)
    }
  })
}

describe('with Redis', () => {
  let server: OwnRedis
  let redis: Redis
  let pair: Pair

  beforeAll(async () => {
    server = await ownRedis()
    redis = await connectRedis(server.url)
    pair = await Pair.open({ REDIS_URL: server.url })
  })
  afterAll(async () => {
    await pair.close()
    redis.disconnect()
    await server.close()
  })

  anywhere(() => pair)

  test('a reader elsewhere gets the very frames of a reader here, while they come', async () => {
    const { run, rest } = await pair.begin('slow:10:150')
    const part = await readSse(await pair.stream(run), has('t5'))
    expect((await pair.get(`/v1/runs/${run}`)).status).toBe('running')
    const after = part.frames.at(-1)?.id ?? 0
    const resumed = readSse(await pair.stream(run, { after }))
    const { frames } = await rest
    expect(ids(frames)).toEqual(upTo(152))
    expect([...part.frames, ...(await resumed).frames]).toEqual(frames)
  })

  test('keeps the events of a finished answer for readers elsewhere', async () => {
    const { run, rest } = await pair.begin('tokens:50')
    const { frames } = await rest
    await until(async () => (await redis.ttl(`aco:run:${run}`)) > 0)
    for (const after of [0, 1, 25, 51]) {
      expect((await readSse(await pair.stream(run, { after }))).frames).toEqual(frames.slice(after))
    }
    const beyond = (await readSse(await pair.stream(run, { after: 53 }))).frames
    expect(beyond[0]).toMatchObject({ event: 'restart' })
    expect(beyond.slice(1)).toEqual(frames)
  })

  test('gives the stored text when the events have expired', async () => {
    const { run, rest } = await pair.begin('tokens:50')
    const { text, frames: original } = await rest
    await until(async () => (await redis.del(`aco:run:${run}`)) === 1)
    const { frames } = await readSse(await pair.stream(run, { after: 7 }))
    expect(frames[0]).toMatchObject({ event: 'restart' })
    expect(shown(frames)).toBe(text)
    expect(frames.at(-1)).toEqual(original.at(-1))
  })

  test('nobody misses anything when Redis is flushed in the middle', async () => {
    const { run, rest } = await pair.begin('slow:10:150')
    let flushed: Promise<unknown> | undefined
    const elsewhere = readSse(await pair.stream(run), (frames) => {
      if (has('t20')(frames)) flushed ??= redis.flushall()
      return false
    })
    const { frames } = await rest
    expect((await elsewhere).frames).toEqual(frames)
    expect(flushed).toBeDefined()
    expect((await readSse(await pair.stream(run))).frames).toEqual(frames)
  })

  test('nobody misses anything when Redis dies in the middle and comes back empty', async () => {
    const { run, rest } = await pair.begin('slow:10:300')
    let away: Promise<void> | undefined
    const restart = async () => {
      await server.kill()
      await Bun.sleep(300)
      await server.start()
    }
    const elsewhere = readSse(await pair.stream(run), (frames) => {
      if (has('t20')(frames)) away ??= restart()
      return false
    })
    const { frames, text } = await rest
    await away
    const there = await elsewhere
    expect(frames).toHaveLength(302)
    expect(shown(there.frames)).toBe(text)
    expect(there.frames.filter(isLast)).toHaveLength(1)
    await until(() => redis.status === 'ready')
  })

  test('a reader elsewhere gets the stored text when Redis dies for good', async () => {
    const { run, conversation, rest } = await pair.begin('slow:10:150')
    let away: Promise<void> | undefined
    const elsewhere = readSse(await pair.stream(run), (frames) => {
      if (has('t5')(frames)) away ??= server.kill()
      return false
    })
    const { text } = await rest
    const { frames, done } = await elsewhere
    await away
    expect(frames.some(({ event }) => event === 'restart')).toBe(true)
    expect(shown(frames)).toBe(text)
    expect(done).toBe(true)
    expect((await pair.stored(conversation)).content).toBe(text)
    const last = frames.at(-1)?.id ?? 0
    const again = await readSse(await pair.stream(run, { after: last - 1 }))
    expect(shown(again.frames)).toBe(text)
    await server.start()
    await until(() => redis.status === 'ready')
  })
})

describe('without Redis', () => {
  let pair: Pair

  beforeAll(async () => {
    pair = await Pair.open()
  })
  afterAll(() => pair.close())

  anywhere(() => pair)
})
