import OpenAI from 'openai'

/** The official client; only the address and the key differ. */
export async function hello(url: string, apiKey: string): Promise<string> {
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey })
  const [model] = (await client.models.list()).data
  const stream = await client.chat.completions.create({
    model: model?.id ?? '',
    messages: [{ role: 'user', content: 'Hello' }],
    stream: true,
  })
  let text = ''
  for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? ''
  return text
}
