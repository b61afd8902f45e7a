/** Where a request belongs in a trace that somebody else began. */
export interface TraceContext {
  /** 32 hexadecimal digits. */
  traceId: string
  /** 16 hexadecimal digits: the caller's span. */
  spanId: string
}

const SHAPE = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?$/

/** A W3C `traceparent` header. Undefined for anything the standard calls invalid: then there is no trace to join. */
export function parseTraceparent(header: string | undefined): TraceContext | undefined {
  const [, version, traceId = '', spanId = '', more] = SHAPE.exec(header ?? '') ?? []
  // Later versions may say more; this one may not, and `ff` is none.
  const wrong = version === undefined || version === 'ff' || (version === '00' && more !== undefined)
  return wrong || /^0+$/.test(traceId) || /^0+$/.test(spanId) ? undefined : { traceId, spanId }
}
