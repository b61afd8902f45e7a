import type { Timeouts } from './deadlines'
import { openAiCompatible } from './openai-compatible'
import type { Provider } from './port'

export interface AzureOptions {
  /** For logs, metrics and `/health`. */
  name?: string
  /** The resource, e.g. `https://name.openai.azure.com`. */
  endpoint: string
  apiKey: string
  /** The names of the deployments: what Azure calls a model. */
  deployments: string[]
  /** A dated version asks the older surface, one address a deployment; without it the `v1` surface is asked. */
  apiVersion?: string | undefined
  timeouts: Timeouts
}

/**
 * Azure OpenAI, https://learn.microsoft.com/azure/foundry/openai/api-version-lifecycle. It lists the models it could
 * deploy, not the deployments there are, so these have to be told.
 */
export function azureOpenAi({
  name = 'azure',
  endpoint,
  apiKey,
  deployments,
  apiVersion,
  timeouts,
}: AzureOptions): Provider {
  const root = endpoint.replace(/\/+$/, '').replace(/\/openai(\/v1)?$/, '')
  const provider = openAiCompatible({
    name,
    baseUrl: `${root}/openai/v1`,
    apiKey,
    keyHeader: 'api-key',
    quirks: { strict: true },
    timeouts,
    ...(apiVersion ? { chatUrl: (model) => deploymentUrl(root, model, apiVersion) } : {}),
  })
  return {
    ...provider,
    listsAll: true,
    models: async () => deployments.map((id) => ({ id, ownedBy: name, created: 0 })),
  }
}

const deploymentUrl = (root: string, deployment: string, version: string) =>
  `${root}/openai/deployments/${encodeURIComponent(deployment)}/chat/completions?api-version=${encodeURIComponent(version)}`
