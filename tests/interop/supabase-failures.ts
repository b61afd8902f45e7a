/** Who is refused, and what becomes of an answer when the Edge Function fails. */
import assert from 'node:assert/strict'
import { until } from '../support/servers'
import { checksFor } from './checks'
import type { Answer } from './curl'
import type { Setup } from './server'
import { chunksOf, full, READ, SAY, textOf } from './supabase'
import type { Project } from './supabase-project'

/** Milliseconds in which an answer must be saved that could not be saved at once. */
const SAVED_WITHIN = 15_000

export async function supabaseFailures(setup: Setup, project: Project): Promise<void> {
  await refusals(setup, project)
  await outages(setup, project)
}

async function refusals({ proxyOnly }: Setup, project: Project): Promise<void> {
  const { check } = checksFor('supabase refusals', proxyOnly)
  const { curl, journal, supabase } = project
  const ada = await project.person()
  const refused = async (token: string, status: number, code: string) => {
    journal.length = 0
    const answer = await curl(SAY, { YOUR_JWT_TOKEN: token })
    assert.equal(answer.status, status, answer.body)
    assert.equal(JSON.parse(answer.body).error.code, code)
    assert.deepEqual(journal, [])
  }
  const past = Math.floor(Date.now() / 1000) - 60
  const strangers: [string, () => Promise<string>][] = [
    ['a token that is none', async () => 'YOUR_JWT_TOKEN'],
    ['a token that has expired', () => supabase.api.sign({ exp: past })],
    ['a token of another audience', () => supabase.api.sign({ aud: 'anon' })],
    ['a token of another project', () => supabase.api.sign({ iss: 'https://other.supabase.co/auth/v1' })],
    ["the project's anon key", async () => supabase.api.anonKey],
    ['a token with another signature', () => supabase.api.sign({}, { key: new TextEncoder().encode('x'.repeat(64)) })],
  ]
  for (const [what, token] of strangers) {
    await check(`refuses ${what}`, async () => refused(await token(), 401, 'UNAUTHORIZED'))
  }
  await check('refuses whoever has spent everything, before anything is stored or asked', async () => {
    const { token } = await project.person({ budget: 5, spend: 5 })
    await refused(token, 402, 'INSUFFICIENT_BALANCE')
  })
  await check('says whom to ask for a key when a profile has none', async () => {
    const { token } = await project.person({ litellmKey: null })
    await refused(token, 403, 'FORBIDDEN')
  })
  await check('never falls back to the master key when LiteLLM refuses the one in a profile', async () => {
    const { token, litellmKey } = await project.person({ refused: true })
    const { status, body } = await curl(SAY, { YOUR_JWT_TOKEN: token })
    assert.equal(status, 200)
    assert.match(body, /^data: \{"error":\{/m)
    assert.ok(body.endsWith('data: [DONE]\n\n'))
    assert.ok(!body.includes(String(litellmKey)))
    assert.deepEqual(project.litellm.credentials.at(-1), { call: 'POST /chat/completions', token: litellmKey })
  })
  await check('keeps people apart', async () => {
    const [first] = chunksOf(await curl(SAY, { YOUR_JWT_TOKEN: ada.token }))
    const eve = await project.person()
    const words = { YOUR_JWT_TOKEN: eve.token, 'your-conversation-id': String(first?.conversation_id) }
    assert.equal((await curl(READ, words)).status, 404)
    const message = `"message": "mine now", "conversation_id": "${first?.conversation_id}"`
    const answer = await curl(SAY, { ...words, '"message": "Hello, how are you?"': message })
    assert.equal(answer.status, 404, answer.body)
    assert.equal((await full(project, ada, String(first?.conversation_id))).messages.length, 2)
  })
  for (const [what, word, by] of [
    ['an empty message', '"Hello, how are you?"', '""'],
    ['a message of 32,001 characters', '"Hello, how are you?"', `"${'x'.repeat(32_001)}"`],
    ['a temperature above 2', '0.7', '2.1'],
    ['a conversation that is no UUID', '"stream"', '"conversation_id": "uuid", "stream"'],
  ] as const) {
    await check(`refuses ${what} and names the field`, async () => {
      const answer = await curl(SAY, { YOUR_JWT_TOKEN: ada.token, [word]: by })
      assert.equal(answer.status, 422, answer.body)
      assert.equal(JSON.parse(answer.body).error.details.fields.length, 1)
    })
  }
}

async function outages({ proxyOnly }: Setup, project: Project): Promise<void> {
  const { check } = checksFor('supabase outages', proxyOnly)
  const { curl, edge, journal, server } = project
  const ada = await project.person()
  const words = { YOUR_JWT_TOKEN: ada.token }
  const broken = () => new Response('<h1>502</h1>', { status: 502, headers: { 'content-type': 'text/html' } })

  await check('tells when nothing could be begun, and asks no model', async () => {
    journal.length = 0
    edge.instead('/add-message', async () => broken())
    const answer = await curl(SAY, words).finally(() => edge.instead('/add-message'))
    assert.equal(answer.status, 502, answer.body)
    assert.equal(JSON.parse(answer.body).error.code, 'UPSTREAM_ERROR')
    assert.deepEqual(journal, ['function POST /conversation-manager/add-message'])
  })
  const once = async (answer: Answer) => {
    const chunks = chunksOf(answer)
    assert.equal(textOf(chunks), 'Hello, how are you?')
    assert.equal(chunks.at(-1)?.saving, 'delayed')
    const answers = async () => {
      const { messages } = await full(project, ada, String(chunks[0]?.conversation_id))
      return messages.filter(({ role }) => role === 'assistant').map(({ id }) => id)
    }
    await until(async () => (await answers()).length > 0, SAVED_WITHIN)
    // Long enough for a second one, if there were to be any.
    await Bun.sleep(3000)
    assert.deepEqual(await answers(), [chunks[0]?.message_id])
  }
  await check('saves an answer later when the function is away', async () => {
    edge.instead('/save-response', async () => broken())
    const answer = await curl(SAY, words).finally(() => edge.instead('/save-response'))
    await once(answer)
  })
  await check('saves an answer once when the function saved it and could not say so', async () => {
    edge.instead('/save-response', async (pass) => {
      await (await pass()).text()
      return broken()
    })
    const answer = await curl(SAY, words).finally(() => edge.instead('/save-response'))
    await once(answer)
  })
  await check('writes no token, key or text of a person to its log', async () => {
    const log = await server.logTail(100_000)
    const { anonKey, serviceKey, jwtSecret } = project.supabase.api
    for (const secret of [ada.token, String(ada.litellmKey), anonKey, serviceKey, jwtSecret, 'how are you']) {
      assert.ok(!log.includes(secret))
    }
    assert.match(log, /"request_id"/)
  })
}
