/** Commands as a reader types them, run by bash with the real curl. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { plainEnv, spawn } from './children'

export type Answer = { status: number; headers: Headers; body: string }

const LIMIT_MS = 15_000

export type Curl = (command: string, words?: Record<string, string>) => Promise<Answer>

/** @param folder holds curl's settings, so that the commands themselves stay as they are printed. */
export async function curlAt(origin: string, folder: string): Promise<Curl> {
  if (!Bun.which('curl')) throw new Error('These tests need curl on the PATH')
  await Bun.write(join(folder, '.curlrc'), 'silent\nshow-error\ninclude\nno-buffer\n')
  return async (command, words = {}) => {
    let text = command.replaceAll('http://localhost:8000', origin)
    for (const [word, value] of Object.entries(words)) text = text.replaceAll(word, value)
    const child = spawn(['bash', '-euo', 'pipefail', '-c', text], {
      cwd: folder,
      env: plainEnv({ CURL_HOME: folder, HOME: folder, NO_PROXY: '127.0.0.1' }),
      stdin: 'ignore',
      stdout: 'pipe',
      stderr: 'pipe',
      timeout: LIMIT_MS,
    })
    const [out, complaints] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()])
    assert.equal(await child.exited, 0, `curl fails: ${complaints}`)
    return parse(out)
  }
}

function parse(out: string): Answer {
  const end = out.indexOf('\r\n\r\n')
  const [first = '', ...lines] = out.slice(0, end).split('\r\n')
  const headers = new Headers()
  for (const line of lines) {
    const colon = line.indexOf(':')
    headers.append(line.slice(0, colon), line.slice(colon + 1).trim())
  }
  return { status: Number(first.split(' ')[1]), headers, body: out.slice(end + 4) }
}
