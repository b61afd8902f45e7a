/** What operators of the Python orchestrator ask a running server, with curl. */
import assert from 'node:assert/strict'
import { checksFor } from './checks'
import { MASTER_KEY } from './litellm'
import type { Setup } from './server'
import type { Project } from './supabase-project'

export async function supabaseOperations({ proxyOnly }: Setup, project: Project): Promise<void> {
  const { check } = checksFor('supabase operations', proxyOnly)
  const { curl, supabase, litellm } = project
  const get = (path: string) => curl(`curl http://localhost:8000${path}`)

  await check('is healthy, with the Edge Function and LiteLLM looked at', async () => {
    const { status, body } = await get('/health')
    assert.equal(status, 200)
    const report = JSON.parse(body)
    assert.equal(report.status, 'ok', body)
    assert.equal(report.checks.edge_function.status, 'ok')
    assert.equal(report.checks['llm:litellm'].status, 'ok')
  })
  for (const path of ['/ready', '/live']) {
    await check(`answers ${path}`, async () => assert.equal((await get(path)).status, 200))
  }
  await check('tells which store it has', async () => {
    assert.equal(JSON.parse((await get('/info')).body).store, 'edge')
  })
  await check('has the metrics of the dashboards there are', async () => {
    const { headers, body } = await get('/metrics')
    assert.match(headers.get('content-type') ?? '', /^text\/plain/)
    const names = ['http_requests_total', 'http_request_duration_seconds', 'streaming_requests_total']
    for (const name of [...names, 'active_streams_gauge', 'upstream_call_duration_seconds']) {
      assert.match(body, new RegExp(`^# TYPE ${name} `, 'm'))
    }
    assert.match(body, /^http_requests_total\{method="POST",endpoint="\/v1\/chat\/completions",status="200"\} [1-9]/m)
    assert.match(body, /^active_streams_gauge 0$/m)
  })
  await check('has the documentation where it was', async () => assert.equal((await get('/docs')).status, 200))
  await check('uses the master key for nothing that is paid for', () => {
    const calls = litellm.credentials.filter(({ token }) => token === MASTER_KEY).map(({ call }) => call)
    assert.deepEqual([...new Set(calls)], ['GET /models', 'GET /model/info'])
    return Promise.resolve()
  })
  await check('reads profiles in the name of their owners only', () => {
    const seen = supabase.api.requests.filter(({ path }) => path.startsWith('/rest/'))
    assert.ok(seen.length > 0)
    for (const { headers } of seen) {
      assert.equal(headers.apikey, supabase.api.anonKey)
      assert.match(headers.authorization ?? '', /^Bearer /)
      assert.notEqual(headers.authorization, `Bearer ${supabase.api.serviceKey}`)
    }
    return Promise.resolve()
  })
}
