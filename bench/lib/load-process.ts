/** The load generator's process, seen from the run: one job at a time. */
import { join } from 'node:path'
import type { Job, ResultOf } from './job'
import { otherCpus, root } from './machine'
import { type Managed, start } from './process'

/** A job ends itself; this is for a load process that hangs. */
const LIMIT_MS = 240_000

export class LoadProcess {
  readonly #managed: Managed
  readonly #lines: AsyncIterator<string>

  constructor() {
    const command = [process.execPath, join(root, 'bench/load.ts')]
    this.#managed = start({
      command,
      env: {},
      cpus: otherCpus,
      ownStdout: true,
    })
    this.#lines = linesOf(this.#managed.child.stdout)
  }

  async run<J extends Job>(job: J): Promise<ResultOf<J>> {
    const { stdin } = this.#managed.child
    stdin.write(`${JSON.stringify(job)}\n`)
    await stdin.flush()
    const impatience = setTimeout(() => this.#managed.child.kill('SIGKILL'), LIMIT_MS)
    const answer = await this.#lines.next()
    clearTimeout(impatience)
    if (answer.done === true) throw new Error(`no answer from the load:\n${this.#managed.log}`)
    return JSON.parse(answer.value) as ResultOf<J>
  }

  stop(): Promise<void> {
    return this.#managed.stop(500)
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const bytes of stream) {
    text += decoder.decode(bytes, { stream: true })
    const lines = text.split('\n')
    text = lines.pop() ?? ''
    yield* lines
  }
}
