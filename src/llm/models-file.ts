import { TypeCompiler } from '@sinclair/typebox/compiler'
import { nearNames } from '../lib/near'
import { type Problem, YamlText } from '../lib/yaml'
import type { Timeouts } from './deadlines'
import { ModelsFileError } from './models-file-error'
import { providersOf, routesOf } from './models-file-parts'
import { ModelsFile } from './models-file-schema'
import type { Provider } from './port'
import type { Route } from './routes'

/** What a models file makes. */
export interface LoadedModels {
  routes: Route[]
  /** All it names. */
  providers: Provider[]
  /** Those whose own lists are offered as well. */
  listing: Provider[]
  /** What is allowed and better done otherwise. */
  warnings: Problem[]
}

export interface ModelsFileOptions {
  /** The value of an environment variable. */
  variable: (name: string) => string | undefined
  /** Where a provider does not say its own. */
  timeouts: Timeouts
  /** Providers of the file as it was: those that have not changed stay, and with them what is known of them. */
  kept?: Map<string, Provider>
}

const checker = TypeCompiler.Compile(ModelsFile)

/** Reads the text of a models file; docs/models.md explains it. @throws ModelsFileError */
export function parseModelsFile(text: string, options: ModelsFileOptions): LoadedModels {
  const yaml = new YamlText(text)
  if (yaml.problems.length > 0) throw new ModelsFileError(yaml.problems)
  const problems: Problem[] = []
  const warnings: Problem[] = []
  const value = filledIn(yaml, { problems, warnings, variable: options.variable })
  problems.push(...yaml.check(value, checker))
  if (problems.length > 0 || !checker.Check(value)) throw new ModelsFileError(problems)
  problems.push(...inconsistencies(yaml, value))
  if (problems.length > 0) throw new ModelsFileError(problems)
  const byName = providersOf(value, options)
  const providers = [...byName.values()]
  const listing = providers.filter(({ name }) => value.providers[name]?.list)
  return { routes: routesOf(value, byName), providers, listing, warnings }
}

interface Filling extends Pick<ModelsFileOptions, 'variable'> {
  problems: Problem[]
  warnings: Problem[]
}

/** The file's value, with `${NAME}` replaced by what the environment says. */
function filledIn(yaml: YamlText, { problems, warnings, variable }: Filling): unknown {
  return fill(readable(yaml), [])

  function fill(value: unknown, path: (string | number)[]): unknown {
    if (typeof value === 'string') return replaced(value, path)
    if (Array.isArray(value)) return value.map((item, i) => fill(item, [...path, i]))
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, fill(item, [...path, key])]))
  }

  function replaced(text: string, path: (string | number)[]): string {
    const isKey = path[0] === 'providers' && path[2] === 'api_key'
    if (isKey && !text.includes('${')) {
      warnings.push(yaml.problem(path, `a key in a file is soon in a repository: write \${NAME_OF_A_VARIABLE}`))
    }
    return text.replace(/\$\{([^}]*)\}/g, (_, name: string) => {
      const found = /^\w+$/.test(name) ? variable(name)?.trim() : undefined
      if (!found) problems.push(yaml.problem(path, `the environment has no variable ${name}`))
      return found || 'https://missing'
    })
  }
}

function readable(yaml: YamlText): unknown {
  try {
    return yaml.value()
  } catch (error) {
    throw new ModelsFileError([error instanceof Error ? error.message : 'The file cannot be read'])
  }
}

/** What a schema cannot say: what belongs together, and names that must name something. */
function inconsistencies(yaml: YamlText, { providers, models = {} }: ModelsFile): Problem[] {
  const problems: Problem[] = []
  const names = Object.keys(providers)
  for (const [name, { kind, base_url, api_key }] of Object.entries(providers)) {
    const path = ['providers', name]
    const needs = kind === 'azure' ? { base_url, api_key } : kind === 'litellm' ? { base_url } : {}
    for (const [key, given] of Object.entries(needs)) {
      if (!given) problems.push(yaml.problem(path, `${kind} needs ${key}`))
    }
  }
  for (const [model, { deployments, split = [] }] of Object.entries(models)) {
    const ids = deployments.map(idOf)
    deployments.forEach(({ provider }, i) => {
      const path = ['models', model, 'deployments', i]
      if (!names.includes(provider)) problems.push(yaml.problem([...path, 'provider'], noSuch(provider, names)))
      if (ids.indexOf(ids[i] ?? '') < i)
        problems.push(yaml.problem(path, 'needs an id: another one is called the same'))
    })
    split.forEach((arm, i) => {
      for (const id of arm.deployments.filter((id) => !ids.includes(id))) {
        problems.push(yaml.problem(['models', model, 'split', i, 'deployments'], noSuch(id, ids)))
      }
    })
    if (split.length > 0 && !split.some(({ weight }) => weight > 0)) {
      problems.push(yaml.problem(['models', model, 'split'], 'needs an arm with a weight above 0'))
    }
  }
  const offers = Object.keys(models).length > 0 || Object.values(providers).some(({ list }) => list)
  return offers
    ? problems
    : [...problems, yaml.problem([], 'offers nothing: name models, or a provider with list: true')]
}

const idOf = ({ id, provider }: { id?: string; provider: string }) => id ?? provider

function noSuch(name: string, names: string[]): string {
  const [near] = nearNames(name, names, 1)
  return `there is no ${name} here${near ? `: did you mean ${near}?` : ''}`
}
