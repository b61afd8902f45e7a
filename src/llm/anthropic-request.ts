import { AppError } from '../errors'
import { type Block, type Turn, toTurns } from './anthropic-messages'
import { claudeTraits } from './claude'
import type { ChatRequest } from './port'

type Params = ChatRequest['params']
type Thinking = { type: string; [key: string]: unknown }

/** Tokens a model may think, by `reasoning_effort`, where it has to be given a number. The API's least is 1024. */
const BUDGETS: Record<string, number> = { minimal: 1024, low: 1024, medium: 4096, high: 16_384, xhigh: 32_768 }
const LEAST_BUDGET = 1024

/**
 * A Chat Completions request in the words of the Messages API (https://platform.claude.com/docs/en/api/messages). What
 * that API has no word for (`seed`, `logprobs`, `frequency_penalty`, …) is left out, as it only colours the answer.
 * @param maxTokens what an answer may have when nobody says: the API wants a number.
 * @throws AppError BAD_REQUEST for what would change the answer's meaning: several choices, JSON without a schema,
 *   content of kinds it does not take.
 */
export function toAnthropic({ model, messages, params }: ChatRequest, maxTokens: number): Record<string, unknown> {
  if (Number(params.n ?? 1) !== 1) throw new AppError('BAD_REQUEST', 'This model gives one answer: n must be 1')
  const { system, turns } = toTurns(messages)
  const tools = toolsOf(params)
  const limit = numberOf(params.max_completion_tokens ?? params.max_tokens)
  const thinking = thinkingOf(model, params, { turns, limit })
  const budget = numberOf(thinking?.budget_tokens) ?? 0
  return {
    model,
    max_tokens: limit ?? maxTokens + budget,
    ...(system.length > 0 ? { system } : {}),
    messages: turns,
    ...tools,
    ...samplingOf(model, params, thinking),
    ...(thinking ? { thinking } : {}),
    ...outputOf(model, params),
    ...stopsOf(params.stop),
    ...(typeof params.user === 'string' ? { metadata: { user_id: params.user } } : {}),
    ...(params.cache_control ? { cache_control: params.cache_control } : {}),
    ...tierOf(params.service_tier),
    stream: true,
  }
}

const numberOf = (value: unknown): number | undefined => (typeof value === 'number' ? value : undefined)
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function toolsOf({ tools, tool_choice, parallel_tool_calls }: Params): Record<string, unknown> {
  if (!Array.isArray(tools) || tools.length === 0) return {}
  const alone = parallel_tool_calls === false ? { disable_parallel_tool_use: true } : {}
  const choice = choiceOf(tool_choice) ?? (parallel_tool_calls === false ? { type: 'auto' } : undefined)
  return {
    tools: tools.map(toolOf),
    ...(choice ? { tool_choice: choice.type === 'none' ? choice : { ...choice, ...alone } } : {}),
  }
}

function toolOf(tool: unknown): unknown {
  const fn = isObject(tool) && isObject(tool.function) ? tool.function : undefined
  if (!isObject(tool) || !fn) throw new AppError('BAD_REQUEST', 'This model takes tools of type function only')
  return {
    name: fn.name,
    ...(fn.description ? { description: fn.description } : {}),
    input_schema: fn.parameters ?? { type: 'object', properties: {} },
    ...(fn.strict === true ? { strict: true } : {}),
    ...(tool.cache_control ? { cache_control: tool.cache_control } : {}),
  }
}

function choiceOf(choice: unknown): Block | undefined {
  if (choice === 'required') return { type: 'any' }
  if (choice === 'auto' || choice === 'none') return { type: choice }
  const fn = isObject(choice) ? choice.function : undefined
  return isObject(fn) ? { type: 'tool', name: fn.name } : undefined
}

/** Anthropic's own `thinking`, or what `reasoning_effort` means for this model. */
function thinkingOf(model: string, params: Params, { turns, limit }: { turns: Turn[]; limit: number | undefined }) {
  const { adaptive } = claudeTraits(model)
  const wanted = isObject(params.thinking) ? (params.thinking as Thinking) : undefined
  if (wanted && wanted.type !== 'enabled') return wanted
  const effort = params.reasoning_effort
  if (!wanted && effort === 'none') return { type: 'disabled' }
  if (!wanted && typeof effort !== 'string') return undefined
  // Not when the first word is given, be it a text or a call.
  if (forced(params.tool_choice) || turns.at(-1)?.role === 'assistant') return undefined
  if (adaptive) return wanted ?? { type: 'adaptive' }
  if (!thoughtBefore(turns)) return undefined
  const budget = numberOf(wanted?.budget_tokens) ?? BUDGETS[String(effort)] ?? LEAST_BUDGET
  const room = limit === undefined ? budget : wanted ? limit - 1 : Math.floor(limit / 2)
  const within = Math.min(budget, room)
  return within < LEAST_BUDGET ? undefined : { ...wanted, type: 'enabled', budget_tokens: within }
}

const forced = (choice: unknown) => choice === 'required' || isObject(choice)

/** With a budget, a turn that goes on after the results of its tools must have begun with a signed thought. */
function thoughtBefore(turns: Turn[]): boolean {
  if (!turns.at(-1)?.content.some(({ type }) => type === 'tool_result')) return true
  return /thinking$/.test(turns.at(-2)?.content[0]?.type ?? '')
}

function samplingOf(model: string, { temperature, top_p, top_k }: Params, thinking: Thinking | undefined) {
  const thinks = thinking !== undefined && thinking.type !== 'disabled'
  if (thinks || !claudeTraits(model).sampling) return {}
  const given = numberOf(temperature)
  return {
    ...(given === undefined ? {} : { temperature: Math.min(1, given) }),
    // Newer models refuse both at once; the temperature is what people mean.
    ...(given === undefined && top_p !== undefined ? { top_p } : {}),
    ...(top_k === undefined ? {} : { top_k }),
  }
}

/** Structured output and effort, https://platform.claude.com/docs/en/build-with-claude/structured-outputs. */
function outputOf(model: string, { response_format, reasoning_effort, output_config }: Params) {
  const format = formatOf(response_format)
  const effort = claudeTraits(model).adaptive ? effortOf(reasoning_effort) : undefined
  const config = {
    ...(effort ? { effort } : {}),
    ...(isObject(output_config) ? output_config : {}),
    ...(format ? { format } : {}),
  }
  return Object.keys(config).length > 0 ? { output_config: config } : {}
}

const effortOf = (effort: unknown) => (effort === 'minimal' ? 'low' : effort === 'none' ? undefined : effort)

function formatOf(format: unknown): Block | undefined {
  if (!isObject(format) || format.type === 'text') return undefined
  const schema = isObject(format.json_schema) ? format.json_schema.schema : undefined
  if (format.type === 'json_schema' && isObject(schema)) return { type: 'json_schema', schema }
  throw new AppError('BAD_REQUEST', 'This model gives JSON by a schema only: response_format must be a json_schema')
}

function stopsOf(stop: unknown) {
  const stops = (Array.isArray(stop) ? stop : [stop]).filter((s) => typeof s === 'string' && s.trim())
  return stops.length > 0 ? { stop_sequences: stops } : {}
}

const TIERS: Record<string, string> = { auto: 'auto', default: 'standard_only', standard_only: 'standard_only' }

const tierOf = (tier: unknown) => (typeof tier === 'string' && TIERS[tier] ? { service_tier: TIERS[tier] } : {})
