import { estimateRequest } from '../../lib/token-estimate'
import type { Rates } from '../../limits/rates'
import type { Embedded } from '../../llm/port'
import type { Router } from '../../llm/router'
import type { Places } from '../../load/places'
import type { User } from '../../store/port'
import type { Billing } from '../billing/service'
import type { Chat } from '../chat/service'
import type { EmbeddingsBody } from './model'

export interface EmbeddingsDeps {
  chat: Pick<Chat, 'admitted'>
  models: Pick<Router, 'embed' | 'defaultModel' | 'resolve'>
  billing: Pick<Billing, 'embed'>
  places: Pick<Places, 'take'>
  rates: Pick<Rates, 'enter'>
}

/** Vectors of texts, made by whichever provider has the model. Nothing is stored. */
export class Embeddings {
  constructor(private readonly deps: EmbeddingsDeps) {}

  /** @param signal aborts when the client leaves. */
  async create(user: User, { input, model: wanted, ...rest }: EmbeddingsBody, signal: AbortSignal) {
    const { chat, models, places, rates } = this.deps
    const asker = await chat.admitted(user, { ...rest, model: undefined })
    const model = wanted ?? (await models.defaultModel(asker))
    const params: Record<string, unknown> = { ...rest }
    for (const key in params) if (params[key] === null) delete params[key]
    const request = { model, input: listOf(input), params, apiKey: asker.personalKey ?? undefined }
    const { deployments } = await models.resolve(model, asker)
    const texts = asMessages(request.input)
    const pass = await rates.enter({ user, tokens: () => estimateRequest({ messages: texts }), streams: false })
    try {
      // Programs ask for vectors, and ask again.
      const release = await places.take('background', signal)
      const made = await this.deps.billing
        .embed({ user, model, deployments }, texts, () => models.embed(request, asker, signal))
        .finally(release)
      pass.ended(made.usage.total_tokens)
      return listed(made, model, rest.encoding_format)
    } finally {
      // Does nothing for vectors that were made.
      pass.leave()
    }
  }
}

/** As the OpenAI API writes it. */
function listed({ vectors, usage }: Embedded, model: string, format: EmbeddingsBody['encoding_format']) {
  const encode = format === 'base64' ? toBase64 : toNumbers
  const data = vectors.map((vector, index) => ({ object: 'embedding', index, embedding: encode(vector) }))
  return { object: 'list', data, model, usage }
}

/** The input in the words of a chat, for estimating what it costs. Four characters are a token. */
const asMessages = (input: string[] | number[][]) =>
  input.map((text) => ({ role: 'user', content: typeof text === 'string' ? text : 'x'.repeat(4 * text.length) }))

/** One text, or the tokens of one, is a list of one. */
function listOf(input: EmbeddingsBody['input']): string[] | number[][] {
  if (typeof input === 'string') return [input]
  return (typeof input[0] === 'number' ? [input] : input) as string[] | number[][]
}

/** Some providers do not know the word for the form they are asked for, and answer in the other one. */
function toBase64(vector: number[] | string): string {
  if (typeof vector === 'string') return vector
  const bytes = new DataView(new ArrayBuffer(vector.length * 4))
  for (const [i, number] of vector.entries()) bytes.setFloat32(i * 4, number, true)
  return Buffer.from(bytes.buffer).toString('base64')
}

function toNumbers(vector: number[] | string): number[] {
  if (typeof vector !== 'string') return vector
  const { buffer, byteOffset, byteLength } = Buffer.from(vector, 'base64')
  const bytes = new DataView(buffer, byteOffset, byteLength)
  return Array.from({ length: Math.floor(byteLength / 4) }, (_, i) => bytes.getFloat32(i * 4, true))
}
