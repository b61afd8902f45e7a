import type { Router } from '../../llm/router'
import type { User } from '../../store/port'
import type { Billing } from '../billing/service'
import type { Chat } from '../chat/service'
import type { EmbeddingsBody } from './model'

/** Vectors of texts, made by whichever provider has the model. Nothing is stored. */
export class Embeddings {
  constructor(
    private readonly chat: Pick<Chat, 'admitted'>,
    private readonly models: Pick<Router, 'embed' | 'defaultModel' | 'resolve'>,
    private readonly billing: Pick<Billing, 'embed'>,
  ) {}

  /** @param signal aborts when the client leaves. */
  async create(user: User, { input, model: wanted, ...rest }: EmbeddingsBody, signal: AbortSignal) {
    const asker = await this.chat.admitted(user, { ...rest, model: undefined })
    const model = wanted ?? (await this.models.defaultModel(asker))
    const params: Record<string, unknown> = { ...rest }
    for (const key in params) if (params[key] === null) delete params[key]
    const request = { model, input: listOf(input), params, apiKey: asker.personalKey ?? undefined }
    const { deployments } = await this.models.resolve(model, asker)
    const { vectors, usage } = await this.billing.embed({ user, model, deployments }, asMessages(request.input), () =>
      this.models.embed(request, asker, signal),
    )
    const encode = rest.encoding_format === 'base64' ? toBase64 : toNumbers
    const data = vectors.map((vector, index) => ({ object: 'embedding', index, embedding: encode(vector) }))
    return { object: 'list', data, model, usage }
  }
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
