import { afterAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ConfigError, loadConfig } from '../src/config'

const dataDir = mkdtempSync(join(tmpdir(), 'config-'))
afterAll(() => rmSync(dataDir, { recursive: true, force: true }))

const SECRET = 'a secret of at least thirty-two characters'
const load = (env: Record<string, string>) => loadConfig({ DATA_DIR: dataDir, ...env })

/** Why an environment is refused. */
function problems(env: Record<string, string>): string[] {
  try {
    load(env)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
  return []
}

describe('a Supabase project as the store', () => {
  const project = { SUPABASE_URL: 'https://x.supabase.co/', SUPABASE_ANON_KEY: 'anon', JWT_SECRET_KEY: SECRET }
  const address = 'https://x.supabase.co/functions/v1/conversation-manager'
  const edge = {
    supabase: { url: 'https://x.supabase.co', anonKey: 'anon' },
    functionUrl: address,
    timeout: 10_000,
  }

  test.each([
    [{ EDGE_FUNCTION_URL: address }],
    [{ EDGE_FUNCTION_URL: 'https://x.supabase.co/functions/v1/' }],
    [{ STORE: 'edge' }],
    [{ EDGE_FUNCTION_URL: address, DATABASE_URL: 'postgres://db/x' }],
  ])('is chosen by %j', (env) => {
    expect(load({ ...project, ...env }).store).toMatchObject({ kind: 'edge', poolSize: 100, edge })
  })

  test('is not what STORE overrules', () => {
    const env = { ...project, EDGE_FUNCTION_URL: address, DATABASE_URL: 'postgres://db/x', STORE: 'postgres' }
    expect(load(env).store).toMatchObject({ kind: 'postgres', poolSize: 10, edge: undefined })
  })

  test('reads how long a call may take, and the public key by its new name first', () => {
    const env = { ...project, STORE: 'edge', EDGE_FUNCTION_TIMEOUT: '3', SUPABASE_PUBLISHABLE_KEY: 'sb_publishable_1' }
    expect(load(env).store.edge).toMatchObject({ timeout: 3000, supabase: { anonKey: 'sb_publishable_1' } })
  })

  test.each(['SUPABASE_SECRET_KEY', 'SUPABASE_SERVICE_KEY', 'SUPABASE_SERVICE_ROLE_KEY'])('reads %s', (name) => {
    const env = { ...project, ACCOUNTS: 'supabase', [name]: 'secret' }
    expect(load(env).supabaseAuth).toEqual({ ...edge.supabase, serviceKey: 'secret' })
  })

  test('says what is missing', () => {
    expect(problems({ STORE: 'edge' })).toEqual([expect.stringContaining('SUPABASE_URL and SUPABASE_ANON_KEY')])
    expect(problems({ SUPABASE_URL: 'https://x.supabase.co' })).toEqual([expect.stringContaining('JWT_SECRET_KEY')])
    const slow = { ...project, STORE: 'edge', EDGE_FUNCTION_TIMEOUT: '151' }
    expect(problems(slow)).toEqual([expect.stringContaining('from 1 to 150')])
  })
})
