import { AppError } from '../errors'

/** Parameters of the Chat Completions API, by their names there. */
export type ChatParameters = Record<string, unknown>

/** Keys that would choose where a request goes or whose key pays for it; that is decided here, not by the caller. */
const ROUTING =
  /^(?:api_(?:base|key|version|type)|base_url|organization|extra_(?:headers|body|query)|headers|prox(?:y|ies)|custom_llm_provider|litellm_.*|mock_.*|(?:\w+_)?fallbacks|model_list|deployment_id|(?:\w+_)?callbacks?|(?:aws|azure|vertex|langfuse)_.*)$/

/** What each turn says anew, or a conversation says elsewhere. */
const PER_TURN =
  /^(?:model|message|messages|stream|stream_options|n|conversation_id|parent_message_id|message_id|branch_name|server_tools|__proto__)$/

/** Two names for the same thing: a turn that says one takes the other's place. */
const SYNONYMS: Record<string, string> = {
  max_tokens: 'max_completion_tokens',
  max_completion_tokens: 'max_tokens',
}

const within = (min: number, max: number) => (value: unknown) =>
  typeof value === 'number' && value >= min && value <= max

/** What the parameters that every provider has may be. */
const LIMITS: [name: string, fits: (value: unknown) => boolean, message: string][] = [
  ['temperature', within(0, 2), 'must be a number from 0 to 2'],
  ['top_p', within(0, 1), 'must be a number from 0 to 1'],
  ['max_tokens', (value) => Number.isInteger(value) && Number(value) >= 1, 'must be a whole number from 1 on'],
]

/** @throws AppError VALIDATION_ERROR naming the keys that are not the caller's to choose. */
export function rejectRouting(body: ChatParameters): void {
  const bad = Object.keys(body).filter((key) => ROUTING.test(key))
  if (bad.length === 0) return
  const fields = bad.map((path) => ({ path, message: 'is decided by the server' }))
  throw new AppError('VALIDATION_ERROR', `Not allowed in a request: ${bad.join(', ')}. The server decides these`, {
    details: { fields },
  })
}

/** The same settings. @throws AppError VALIDATION_ERROR for what no conversation can keep for its turns. */
export function checkedSettings(settings: ChatParameters): ChatParameters {
  rejectRouting(settings)
  const perTurn = Object.keys(settings).filter((key) => PER_TURN.test(key))
  const fields = [
    ...perTurn.map((key) => ({ path: `settings.${key}`, message: 'is no setting' })),
    ...LIMITS.flatMap(([name, fits, message]) =>
      fits(settings[name] ?? 1) ? [] : [{ path: `settings.${name}`, message }],
    ),
  ]
  const [first] = fields
  if (!first) return settings
  throw new AppError('VALIDATION_ERROR', `${first.path}: ${first.message}`, { details: { in: 'body', fields } })
}

/**
 * A turn's parameters with a conversation's settings for what it does not say; null says that there shall be none. Settings
 * may have come from elsewhere, so what nobody may send is left out once more.
 */
export function withSettings<T extends ChatParameters>(settings: ChatParameters | null, body: T): T {
  const kept = Object.entries(settings ?? {}).filter(([key]) => {
    const other = SYNONYMS[key]
    return !ROUTING.test(key) && !PER_TURN.test(key) && !(other && Object.hasOwn(body, other))
  })
  return { ...Object.fromEntries(kept), ...body }
}
