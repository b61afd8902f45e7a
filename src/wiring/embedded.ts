import { join } from 'node:path'
import type { Config } from '../config'

export type Embedded = Awaited<ReturnType<typeof openEmbedded>>

/**
 * Opens the embedded database, which takes a second, in a thread of its own. Not loaded at all when it is not used: it is 200 MB of
 * memory.
 * @param onError called when it died, and only a new process can open it.
 */
export async function openEmbedded({ dataDir }: Config['store'], onError: (error: Error) => void) {
  const { openPglite } = await import('../store/pglite')
  return openPglite({ dataDir: join(dataDir, 'postgres'), onError })
}
