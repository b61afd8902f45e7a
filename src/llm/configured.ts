import type { Config } from '../config'
import { anthropic } from './anthropic'
import { azureOpenAi } from './azure'
import { liteLlm } from './litellm'
import { openAiCompatible, services } from './openai-compatible'
import type { Provider } from './port'

/** The providers that the environment names, in order of preference. */
export function configuredProviders(llm: Config['llm']): Provider[] {
  const { litellm, openai, timeouts, defaultProvider } = llm
  const configured: Provider[] = [
    ...(litellm ? [liteLlm({ name: 'litellm', ...litellm, timeouts })] : []),
    ...(openai ? [openAiCompatible({ name: 'openai', ...openai, timeouts })] : []),
    ...(llm.anthropic ? [anthropic({ ...llm.anthropic, timeouts })] : []),
    ...(llm.azure ? [azureOpenAi({ ...llm.azure, timeouts })] : []),
    ...services(llm.serviceKeys, timeouts),
  ]
  const isOther = ({ name }: Provider) => Number(name !== defaultProvider)
  return configured.toSorted((a, b) => isOther(a) - isOther(b))
}
