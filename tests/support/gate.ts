import type { AddressInfo } from 'node:net'
import { connect, createServer, type Socket } from 'node:net'

export interface Gate {
  /** The same address as was given, by way of this gate. */
  url: string
  /** Cuts all connections, and lets none through from now on. */
  cut: () => void
  /** Lets them through again. */
  restore: () => void
  close: () => void
}

/** A way to a database that can be cut: for the one behind it nothing happens, for those before it it is gone. */
export async function openGate(url: string): Promise<Gate> {
  const target = new URL(url)
  const sockets = new Set<Socket>()
  let open = true
  const server = createServer((near) => {
    if (!open) return void near.destroy()
    const far = connect(Number(target.port), target.hostname)
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from)
      from.on('error', () => {})
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
      from.pipe(to)
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const through = new URL(url)
  through.hostname = '127.0.0.1'
  through.port = String((server.address() as AddressInfo).port)
  const cutAll = () => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    url: through.href,
    cut() {
      open = false
      cutAll()
    },
    restore() {
      open = true
    },
    close() {
      cutAll()
      server.close()
    },
  }
}
