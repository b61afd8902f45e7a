import type { TSchema } from '@sinclair/typebox'
import { type TypeCheck, ValueErrorType } from '@sinclair/typebox/compiler'
import { isMap, isScalar, isSeq, LineCounter, type ParsedNode, parseDocument } from 'yaml'
import { nearNames } from './near'

/** One thing that is wrong in a file: `line 7, models.gpt-4o.strategy: must be …`. */
export type Problem = string

type Path = (string | number)[]

/** A YAML text with the lines its values stand on. */
export class YamlText {
  readonly problems: Problem[]
  private readonly lines = new LineCounter()
  private readonly document

  constructor(text: string) {
    // Ten aliases of ten aliases of ten … would be a small text and a large value.
    this.document = parseDocument(text, { lineCounter: this.lines, prettyErrors: false })
    const errors = [...this.document.errors, ...this.document.warnings]
    this.problems = errors.map(({ pos, message }) => `line ${this.lines.linePos(pos[0]).line}: ${message}`)
  }

  /** Plain values. @throws when aliases would make them grow beyond measure. */
  value(): unknown {
    return this.document.toJS({ maxAliasCount: 100 })
  }

  problem(path: Path, message: string): Problem {
    return `line ${this.lineOf(path)}${path.length > 0 ? `, ${path.join('.')}` : ''}: ${message}`
  }

  /** Everything about a value that a schema does not allow, each thing once, in the order of the file. */
  check<T extends TSchema>(value: unknown, checker: TypeCheck<T>): Problem[] {
    const found = new Map<string, { path: Path; message: string }>()
    for (const error of checker.Errors(value)) {
      const path = pathOf(error.path)
      const unknown = error.type === ValueErrorType.ObjectAdditionalProperties
      const message = unknown ? unknownKey(path, keysAt(checker.Schema(), path.slice(0, -1))) : mustBe(error)
      if (!found.has(error.path)) found.set(error.path, { path, message })
    }
    return [...found.values()]
      .sort((a, b) => this.lineOf(a.path) - this.lineOf(b.path))
      .map(({ path, message }) => this.problem(path, message))
  }

  /** The line of a key, or of the nearest thing above it that is there. */
  private lineOf(path: Path): number {
    let node: unknown = this.document.contents
    let offset = isNode(node) ? node.range[0] : 0
    for (const step of path) {
      const pair = isMap(node) ? node.items.find(({ key }) => isScalar(key) && `${key.value}` === `${step}`) : undefined
      const found: unknown = pair ? pair.key : isSeq(node) ? node.items[Number(step)] : undefined
      if (!isNode(found)) break
      offset = found.range[0]
      node = pair ? pair.value : found
    }
    return this.lines.linePos(offset).line
  }
}

const isNode = (value: unknown): value is ParsedNode =>
  typeof value === 'object' && value !== null && 'range' in value && Array.isArray(value.range)

/** RFC 6901. Numbers stay text here: YAML's keys and indices are both found by it. */
const pathOf = (pointer: string): Path =>
  pointer
    .split('/')
    .slice(1)
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'))
    .map((step) => (/^\d+$/.test(step) ? Number(step) : step))

function mustBe({ type, message, schema }: { type: ValueErrorType; message: string; schema: TSchema }): string {
  if (type === ValueErrorType.ObjectRequiredProperty) return 'is missing'
  const must: unknown = schema['x-must']
  return typeof must === 'string' ? must : message.replace(/^./, (letter) => letter.toLowerCase())
}

function unknownKey(path: Path, known: string[]): string {
  if (known.length === 0) return 'is no name that can be used here'
  const [near] = nearNames(String(path.at(-1)), known, 1)
  return `is no key here${near ? `: did you mean ${near}?` : `. There are ${known.join(', ')}`}`
}

/** The names that a schema knows at a place. */
function keysAt(schema: TSchema, path: Path): string[] {
  let at: TSchema | undefined = schema
  for (const step of path) {
    const patterns: TSchema[] = Object.values(at?.patternProperties ?? {})
    at = at?.properties?.[step] ?? at?.items ?? patterns[0]
  }
  return Object.keys(at?.properties ?? {})
}
