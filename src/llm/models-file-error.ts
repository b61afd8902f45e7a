/** Why a models file cannot be used: everything at once. */
export class ModelsFileError extends Error {
  override name = 'ModelsFileError'
  constructor(readonly problems: string[]) {
    super(problems.sort((a, b) => lineOf(a) - lineOf(b)).join('\n'))
  }
}

const lineOf = (problem: string): number => Number(/^line (\d+)/.exec(problem)?.[1] ?? 0)
