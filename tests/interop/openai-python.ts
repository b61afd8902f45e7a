/** Runs the Python script of the same name: each line that it prints is a result, or a question to the provider. */
import { join } from 'node:path'
import { report, say } from './checks'
import { plainEnv, spawn } from './children'
import { MODEL_NAMES } from './litellm'
import type { Setup } from './server'

const LIMIT_MS = 120_000

/** `ask` wants to know how many answers were abandoned so far; the reply goes to the script's standard input. */
type Line = { ask: 'aborted' } | { name: string; problem?: string; left_out?: true }

export async function openAiPythonSuite(setup: Setup, python: string): Promise<void> {
  const { provider, proxyOnly, target } = setup
  const child = spawn([python, join(import.meta.dir, 'openai_sdk.py')], {
    env: plainEnv({
      BASE_URL: target.baseURL,
      API_KEY: target.apiKey,
      MODEL_NAMES: JSON.stringify(MODEL_NAMES),
      PROXY_ONLY: proxyOnly ? '1' : '',
      PYTHONUNBUFFERED: '1',
    }),
    stdin: 'pipe',
    stdout: 'pipe',
    stderr: 'pipe',
    timeout: LIMIT_MS,
  })
  const errors = new Response(child.stderr).text()
  for await (const text of lines(child.stdout)) {
    const line = JSON.parse(text) as Line
    if ('ask' in line) {
      child.stdin.write(`${provider.aborted()}\n`)
      await child.stdin.flush()
      continue
    }
    const name = `openai-python: ${line.name}`
    if (line.left_out) say(`--   ${name} (left out: LiteLLM does not promise it)`)
    else report(name, line.problem)
  }
  const code = await child.exited
  report('openai-python: runs to its end', code === 0 ? undefined : `exit ${code}\n${(await errors).slice(-1_000)}`)
}

async function* lines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of stream) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    rest = parts.pop() ?? ''
    yield* parts.filter(Boolean)
  }
}
