import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Browser, chromium, type Page } from 'playwright-core'
import { type TestApp, testApp } from '../support/app'

let app: TestApp
let base: string
let browser: Browser
const profile = mkdtempSync(join(tmpdir(), 'orchestrator-browser-'))

beforeAll(async () => {
  const executablePath = Bun.which('chromium') ?? Bun.which('chromium-browser') ?? Bun.which('google-chrome')
  if (!executablePath) throw new Error('This test needs Chromium: install it and run the tests again')
  app = await testApp()
  base = app.listen()
  browser = await chromium.launch({
    executablePath,
    // Its folders are this test's own: what a person's browser remembers must not take part.
    env: { ...process.env, HOME: profile, XDG_CONFIG_HOME: profile, XDG_CACHE_HOME: profile },
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  })
}, 60_000)

afterAll(async () => {
  await browser?.close()
  await app?.close()
  rmSync(profile, { recursive: true, force: true })
})

/** A page, with the hosts it asks and everything the browser complains about. */
async function watched(): Promise<{ page: Page; hosts: Set<string>; complaints: string[] }> {
  const page = await browser.newPage({ viewport: { width: 1200, height: 1400 } })
  const hosts = new Set<string>()
  const complaints: string[] = []
  page.on('request', (request) => {
    const { protocol, hostname } = new URL(request.url())
    if (protocol !== 'data:') hosts.add(hostname)
  })
  page.on('requestfailed', (request) => complaints.push(`failed: ${request.url()}`))
  page.on('response', (response) => {
    if (response.status() >= 400) complaints.push(`${response.status()}: ${response.url()}`)
  })
  // A violated content security policy is a console error, too.
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(String(error)))
  return { page, hosts, complaints }
}

/** Unfolds the groups of operations that are folded when the page opens. */
async function openSections(page: Page): Promise<void> {
  await page.waitForSelector('.opblock-tag-section')
  const folded = page.locator('.opblock-tag-section:not(.is-open) > .opblock-tag')
  while ((await folded.count()) > 0) await folded.first().click()
  await page.waitForSelector('.opblock')
}

test('shows every operation, asks no other host and breaks no policy', async () => {
  const { page, hosts, complaints } = await watched()
  await page.goto(`${base}/`)
  expect(page.url()).toBe(`${base}/docs`)
  await openSections(page)

  const document = await (await app.call('/openapi.json')).json()
  const operations = Object.values<object>(document.paths).reduce((sum, path) => sum + Object.keys(path).length, 0)
  expect(await page.locator('.opblock').count()).toBe(operations)
  expect(await page.title()).toBe('API documentation')
  const method = page.locator('.opblock-summary-method').first()
  expect(await method.evaluate((element) => getComputedStyle(element).color)).toBe('rgb(255, 255, 255)')

  expect([...hosts]).toEqual(['127.0.0.1'])
  expect(complaints).toEqual([])
  await page.close()
}, 60_000)

test('tries an operation out', async () => {
  const { page, hosts, complaints } = await watched()
  await page.goto(`${base}/docs`)
  await openSections(page)
  const operation = page.locator('.opblock', { hasText: '/live' })
  await operation.locator('.opblock-summary-control').click()
  await operation.getByRole('button', { name: 'Try it out' }).click()
  await operation.getByRole('button', { name: 'Execute' }).click()
  const answer = operation.locator('.live-responses-table .response').first()
  await answer.waitFor()
  expect(await answer.textContent()).toContain('"status": "alive"')
  expect([...hosts]).toEqual(['127.0.0.1'])
  expect(complaints).toEqual([])
  await page.close()
}, 60_000)
