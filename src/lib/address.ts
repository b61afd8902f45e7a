import { isIPv4, isIPv6 } from 'node:net'

/**
 * A network address as limits count it. One subscriber has a whole /64 of IPv6 addresses, so these are one; an IPv4 address
 * written as IPv6 is that IPv4 address. A port is left out. What is no address stays as it is, but not longer than one.
 */
export function networkOf(text: string): string {
  const address = withoutPort(text.trim())
  if (!isIPv6(address)) return address.slice(0, 64)
  const groups = groupsOf(address.replace(/%.*$/, ''))
  const isMapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff
  if (isMapped) return [groups[6], groups[7]].map((group = 0) => `${group >> 8}.${group & 255}`).join('.')
  return `${groups
    .slice(0, 4)
    .map((group) => group.toString(16))
    .join(':')}::/64`
}

/** `203.0.113.7:4711` and `[2001:db8::1]:4711`, as some proxies write it. */
function withoutPort(text: string): string {
  const [, inside] = /^\[([^\]]*)\](?::\d+)?$/.exec(text) ?? []
  if (inside !== undefined) return inside
  const [, v4 = ''] = /^([\d.]+):\d+$/.exec(text) ?? []
  return isIPv4(v4) ? v4 : text
}

/** The eight groups of an address that is known to be one. */
function groupsOf(address: string): number[] {
  const [head = '', tail] = address.split('::', 2).map((half) => half.split(':').filter(Boolean).flatMap(group))
  const [before, after] = [head || [], tail ?? []]
  return [...before, ...Array.from({ length: 8 - before.length - after.length }, () => 0), ...after]
}

/** The last one may be written as an IPv4 address, which is two. */
function group(text: string): number[] {
  if (!text.includes('.')) return [Number.parseInt(text, 16)]
  const [a = 0, b = 0, c = 0, d = 0] = text.split('.').map(Number)
  return [a * 256 + b, c * 256 + d]
}
