/**
 * Short messages between the servers of an installation: somebody's cached facts changed, an answer shall stop, there is news for a
 * reader. Nothing is kept: whoever is not there when a message is sent never gets it, so what must not be lost is written to the
 * database first, and the message only says that somebody should look.
 */
export interface Bus {
  /**
   * Tells every subscriber of `topic`, in this process (at once, before it returns) and in the others. Never throws and never waits;
   * while the way to the others is broken they are not told, and hear of it by `onGap` when it is mended.
   */
  publish(topic: string, message: string): void
  /**
   * @param listener called with each message; must not throw. Several may listen to one topic.
   * @param onGap called when messages from other servers may have been missed.
   * @returns ends the subscription.
   */
  subscribe(topic: string, listener: (message: string) => void, onGap?: () => void): () => void
  close(): Promise<void>
}
