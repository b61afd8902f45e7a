/** Errors and leaving, with the official OpenAI SDK for JavaScript. */
import assert from 'node:assert/strict'
import OpenAI from 'openai'
import { UPSTREAM_SECRET } from '../support/fake-provider'
import { checksFor, grows, rejection } from './checks'
import { asks } from './openai-js'
import type { Setup } from './server'

export async function openAiFailures(client: OpenAI, setup: Setup): Promise<void> {
  const { check, ours } = checksFor('openai-js errors', setup.proxyOnly)
  const { provider } = setup
  const create = (model: string) => client.chat.completions.create({ model, messages: asks('hi') })
  const stream = (model: string) =>
    client.chat.completions.create({
      model,
      messages: asks('hi'),
      stream: true,
    })

  await ours('refuses a bad key', async () => {
    const stranger = client.withOptions({ apiKey: 'sk-not-a-key' })
    const error = await rejection(stranger.chat.completions.create({ model: 'echo', messages: asks('hi') }))
    assert.ok(error instanceof OpenAI.AuthenticationError, String(error))
    assert.equal(error.status, 401)
    assert.ok(error.message.length > 10 && error.type && error.code, JSON.stringify(error.error))
    assert.ok((await rejection(stranger.models.list())) instanceof OpenAI.AuthenticationError)
  })
  for (const [way, call] of Object.entries({ create, stream })) {
    await check(`names an unknown model (${way})`, async () => {
      const error = await rejection(call('no-such-model'))
      assert.ok(error instanceof OpenAI.NotFoundError || error instanceof OpenAI.BadRequestError, String(error))
      assert.match(error.message, /no-such-model/)
      assert.ok(error.type)
    })
    await check(`passes a rate limit on (${way})`, async () => {
      const error = await rejection(call('status-429'))
      assert.ok(error instanceof OpenAI.RateLimitError, String(error))
      leaksNothing(error)
    })
    await check(`passes a server error on (${way})`, async () => {
      const error = await rejection(call('status-500'))
      assert.ok(error instanceof OpenAI.InternalServerError, String(error))
      leaksNothing(error)
    })
    await ours(`does not blame the caller's key for the provider's 401 (${way})`, async () => {
      const error = await rejection(call('status-401'))
      assert.ok(error instanceof OpenAI.InternalServerError, String(error))
      leaksNothing(error)
    })
  }
  await check('passes a bad request on', async () => {
    const error = await rejection(create('status-400'))
    assert.ok(error instanceof OpenAI.BadRequestError, String(error))
    leaksNothing(error)
  })
  await ours('refuses an empty conversation', async () => {
    const error = await rejection(client.chat.completions.create({ model: 'echo', messages: [] }))
    assert.ok(
      error instanceof OpenAI.BadRequestError || error instanceof OpenAI.UnprocessableEntityError,
      String(error),
    )
    assert.match(error.message, /messages/)
  })
  for (const model of ['error-after-3', 'cut-after-3']) {
    await ours(`ends a stream with the error in it (${model})`, async () => {
      const texts: string[] = []
      const error = await rejection(
        (async () => {
          for await (const chunk of await stream(model)) texts.push(chunk.choices[0]?.delta.content ?? '')
        })(),
      )
      assert.ok(error instanceof OpenAI.APIError, String(error))
      assert.equal(texts.join(''), 't1 t2 t3')
      leaksNothing(error)
    })
  }
  await check('closes the provider when the client leaves a stream', async () => {
    const before = provider.aborted()
    for await (const chunk of await stream('slow-50')) if (chunk.choices[0]?.delta.content) break
    await grows('the count of abandoned answers', provider.aborted, before)
  })
  await ours('closes the provider when the client leaves before the answer', async () => {
    const before = provider.aborted()
    const leaving = new AbortController()
    const body = { model: 'slow-50', messages: asks('hi') }
    const answer = client.chat.completions.create(body, {
      signal: leaving.signal,
    })
    setTimeout(() => leaving.abort(), 500)
    assert.ok((await rejection(answer)) instanceof OpenAI.APIUserAbortError)
    await grows('the count of abandoned answers', provider.aborted, before)
  })
}

function leaksNothing(error: InstanceType<typeof OpenAI.APIError>): void {
  const told = `${error.message} ${JSON.stringify(error.error)}`
  assert.ok(!told.includes(UPSTREAM_SECRET), `the provider's secret is told: ${told}`)
  assert.ok(!told.includes('Traceback') && !told.includes('sk-interop-master'), told)
}
