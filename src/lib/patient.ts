interface Asked {
  request: Request
  server: { timeout(request: Request, seconds: number): void } | null
}

/**
 * For `onBeforeHandle`: a model may take minutes, and neither a stream nor a plain answer may be cut by the server's idle
 * timer.
 */
export function patient({ request, server }: Asked): void {
  server?.timeout(request, 0)
}
