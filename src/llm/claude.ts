/** What the Anthropic API lets one do with a model. */
export interface ClaudeTraits {
  /** It goes on from an assistant message at the end; later ones answer 400. */
  prefill: boolean
  /** It decides itself how much to think (`adaptive`), by an effort; earlier ones are given a budget of tokens. */
  adaptive: boolean
  /** It takes `temperature`, `top_p` and `top_k`; later ones answer 400. */
  sampling: boolean
}

/**
 * From the version in the model's name. Prefill ended and adaptive thinking began with 4.6
 * (https://platform.claude.com/docs/en/about-claude/models/migration-guide), budgets and sampling ended with 4.7
 * (https://platform.claude.com/docs/en/build-with-claude/adaptive-thinking). A name without a version is taken for an
 * older model: that is what other services with this API understand.
 */
export function claudeTraits(model: string): ClaudeTraits {
  const version = versionOf(model)
  return { prefill: version < 4.06, adaptive: version >= 4.06, sampling: version < 4.07 }
}

/** `claude-opus-4-6` is 4.06, `claude-3-5-haiku-20241022` 3.05, `claude-sonnet-4-20250514` 4, what is none of them 0. */
function versionOf(model: string): number {
  const [, major, minor = '0'] = /claude-(?:[a-z]+-)*(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)/i.exec(model) ?? []
  return major === undefined ? 0 : Number(major) + Number(minor) / 100
}
