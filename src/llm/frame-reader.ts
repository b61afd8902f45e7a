import { createParser } from 'eventsource-parser'
import { AppError } from '../errors'
import type { ChatEvent } from './port'

/** Characters one SSE line may have. A provider that sends more is broken or hostile. */
const MAX_LINE = 4 * 1024 * 1024

/**
 * Turns the text of a provider's SSE body into events. Pure, so that it can be tested at every cut. What was said before
 * a failure is given out before the failure is thrown.
 */
export abstract class FrameReader {
  events: ChatEvent[] = []
  /** The provider said that nothing follows. */
  done = false
  /** The answer is complete, whether or not the provider says so. */
  finished = false
  private failure: unknown
  private readonly parser = createParser({
    maxBufferSize: MAX_LINE,
    onEvent: ({ data }) => this.onData(data),
    onError: (error) => {
      if (error.type === 'max-buffer-size-exceeded') {
        this.failure ??= new AppError('UPSTREAM_ERROR', 'The model provider sent a line that is too long')
      }
    },
  })

  /** What the response says before its body. */
  onHeaders(_headers: Headers): void {}

  /** One frame's `data`. What it throws ends the stream; what is no AppError counts as nonsense from the provider. */
  protected abstract onFrame(data: string): void

  /** @throws AppError when the provider reported an error or sent what is not a chunk. */
  feed(text: string): void {
    this.parser.feed(text)
    if (this.failure && this.events.length === 0) throw this.failure
  }

  /** The events so far; then the failure that followed them, if any. */
  *take(): Generator<ChatEvent> {
    const { events } = this
    this.events = []
    yield* events
    if (this.failure) throw this.failure
  }

  private onData(data: string): void {
    if (this.done || this.failure) return
    try {
      this.onFrame(data)
    } catch (error) {
      this.failure =
        error instanceof AppError
          ? error
          : new AppError('UPSTREAM_ERROR', 'The model provider sent something that is not a chat chunk', {
              cause: error,
            })
    }
  }
}
