import { expect, test } from 'bun:test'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse, parseAllDocuments } from 'yaml'
import { loadConfig } from '../src/config'

// Whether these files are well-formed is for `test:interop`; here it is whether they keep the server's promises.

const read = (name: string) => readFileSync(join(import.meta.dir, '../deploy', name), 'utf8')
const compose = parse(read('compose.yaml'), { merge: true })
const kinds = Object.fromEntries(
  readdirSync(join(import.meta.dir, '../deploy/kubernetes')).flatMap((name) =>
    parseAllDocuments(read(`kubernetes/${name}`)).map((document) => {
      const made = document.toJS()
      return [made.kind, made]
    }),
  ),
)
const pod = kinds.Deployment.spec.template.spec
const [container] = pod.containers
const SECRETS = {
  JWT_SECRET_KEY: 'x'.repeat(32),
  DATABASE_URL: 'postgres://user:password@db:5432/chat',
  REDIS_URL: 'redis://redis:6379',
}

test('settings of the manifests and of the composed servers are settings of this server', () => {
  const known = new Set(
    readFileSync(join(import.meta.dir, '../.env.example'), 'utf8').match(/^# [A-Z][A-Z0-9_]+(?==)/gm),
  )
  const names = [...Object.keys(kinds.ConfigMap.data), ...Object.keys(compose.services['server-1'].environment)]
  expect(names.filter((name) => !known.has(`# ${name}`))).toEqual([])
  const { server } = loadConfig({ ...SECRETS, ...kinds.ConfigMap.data, NODE_ENV: 'production' })
  expect(server.trustProxy).toBe(true)
})

test('a pod and a container get more time to end than running answers get', () => {
  const drain = Number(kinds.ConfigMap.data.DRAIN_TIMEOUT)
  const preStop = container.lifecycle.preStop.sleep.seconds
  expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(drain + preStop + 5)
  const server = compose.services['server-1']
  expect(Number.parseInt(server.stop_grace_period, 10)).toBeGreaterThan(Number(server.environment.DRAIN_TIMEOUT) + 5)
})

test('a server is restarted for /live alone, and asked only while /ready', () => {
  expect(container.livenessProbe.httpGet.path).toBe('/live')
  expect(container.readinessProbe.httpGet.path).toBe('/ready')
  expect(container.startupProbe.httpGet.path).toBe('/ready')
})

test('every part finds the pods', () => {
  const labels = kinds.Deployment.spec.template.metadata.labels
  expect(kinds.Deployment.spec.selector.matchLabels).toEqual(labels)
  expect(kinds.Service.spec.selector).toEqual(labels)
  expect(kinds.PodDisruptionBudget.spec.selector.matchLabels).toEqual(labels)
  expect(kinds.HorizontalPodAutoscaler.spec.scaleTargetRef.name).toBe(kinds.Deployment.metadata.name)
  expect(kinds.HorizontalPodAutoscaler.spec.minReplicas).toBeGreaterThan(kinds.PodDisruptionBudget.spec.minAvailable)
})

test('nginx knows the composed servers, buffers nothing, and lets no client choose an address', () => {
  const nginx = read('nginx.conf')
  const servers = [...nginx.matchAll(/server (server-\d):8000/g)].map(([, name]) => name)
  expect(servers).toEqual(Object.keys(compose.services).filter((name) => name.startsWith('server')))
  expect(nginx).toContain('proxy_buffering off')
  expect(nginx).toContain('proxy_set_header X-Forwarded-For $remote_addr;')
  expect(nginx).not.toContain('non_idempotent')
})

test('the container runs as the user that the image makes', () => {
  const dockerfile = readFileSync(join(import.meta.dir, '../Dockerfile'), 'utf8')
  expect(dockerfile).toContain(`--uid ${pod.securityContext.runAsUser} `)
  expect(container.securityContext.readOnlyRootFilesystem).toBe(true)
})
