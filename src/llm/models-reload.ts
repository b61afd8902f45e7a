import { readFileSync } from 'node:fs'
import { type LoadedModels, type ModelsFileOptions, parseModelsFile } from './models-file'
import { ModelsFileError } from './models-file-error'
import type { Provider } from './port'

/** The models file on disk, to be read again whenever somebody says so. */
export class ModelsFileOnDisk {
  private readonly kept = new Map<string, Provider>()

  constructor(private readonly options: Omit<ModelsFileOptions, 'kept'> & { path: string }) {}

  /** @throws ModelsFileError; what was read before stays as it is. */
  read(): LoadedModels {
    const { path, ...options } = this.options
    return parseModelsFile(textOf(path), { ...options, kept: this.kept })
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    const why = error instanceof Error && 'code' in error ? String(error.code) : 'unknown'
    throw new ModelsFileError([`${path} cannot be read (${why})`])
  }
}
