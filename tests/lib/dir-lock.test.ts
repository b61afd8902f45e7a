import { Database } from 'bun:sqlite'
import { afterEach, expect, test } from 'bun:test'
import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DirInUseError, type DirLock, lockDir } from '../../src/lib/dir-lock'

const root = realpathSync(mkdtempSync(join(tmpdir(), 'dir-lock-')))
const children = new Set<Bun.Subprocess>()
const locks: DirLock[] = []

afterEach(async () => {
  for (const lock of locks.splice(0)) lock.release()
  for (const child of children) child.kill('SIGKILL')
  await Promise.all([...children].map((child) => child.exited))
  children.clear()
  rmSync(root, { recursive: true, force: true })
})

const lock = (dir: string, advice?: string): DirLock => {
  const taken = lockDir(dir, advice)
  locks.push(taken)
  return taken
}

const refusal = (dir: string, advice?: string): DirInUseError => {
  try {
    lock(dir, advice)
  } catch (error) {
    if (error instanceof DirInUseError) return error
    throw error
  }
  throw new Error('the lock was given')
}

/** Starts a process that tries for the lock, says `held` or `refused`, and then stays alive. */
const contender = (dir: string) => {
  const script = `
    const { lockDir } = await import(${JSON.stringify(join(import.meta.dir, '../../src/lib/dir-lock.ts'))})
    try { lockDir(${JSON.stringify(dir)}); console.log('held') } catch (error) { console.log('refused', error.name) }
    setInterval(() => {}, 1000)`
  const child = Bun.spawn([process.execPath, '-e', script], {
    stdout: 'pipe',
    stderr: 'inherit',
  })
  children.add(child)
  const said = child.stdout
    .getReader()
    .read()
    .then(({ value }) => new TextDecoder().decode(value).trim())
  return { child, said }
}

test('locks a directory that does not exist yet and makes only its parent', () => {
  const dir = join(root, 'data/postgres')
  lock(dir)
  expect(existsSync(dir)).toBe(false)
  expect(existsSync(`${dir}.lock`)).toBe(true)
})

test('refuses a second opener in the same process until the first lets go, once or twice', () => {
  const dir = join(root, 'same')
  const first = lock(dir)
  expect(() => lock(dir)).toThrow(DirInUseError)
  first.release()
  first.release()
  lock(dir)
})

test('meets at one lock whatever the directory is called', () => {
  const dir = join(root, 'real')
  mkdirSync(dir, { recursive: true })
  symlinkSync(dir, join(root, 'alias'))
  lock(join(root, 'alias'))
  expect(() => lock(dir)).toThrow(DirInUseError)
  expect(() => lock(join(root, 'alias'))).toThrow(DirInUseError)
})

test('says which process holds the directory and what to do', async () => {
  const dir = join(root, 'other')
  const { child, said } = contender(dir)
  expect(await said).toBe('held')
  const { message, holder } = refusal(dir, 'Do this.')
  expect(message).toStartWith(`${dir} is in use by process ${child.pid} on `)
  expect(message).toEndWith('Do this.')
  expect(holder?.pid).toBe(child.pid)
  expect(Date.parse(holder?.since ?? '')).toBeGreaterThan(Date.now() - 60_000)
}, 20_000)

test('takes over from a process that was killed', async () => {
  const dir = join(root, 'killed')
  const { child, said } = contender(dir)
  expect(await said).toBe('held')
  child.kill('SIGKILL')
  await child.exited
  lock(dir)
  expect(refusal(dir).holder?.pid).toBe(process.pid)
}, 20_000)

test('does not believe a record that nobody stands behind, even if it names a living process', () => {
  const dir = join(root, 'reused')
  mkdirSync(root, { recursive: true })
  const file = new Database(`${dir}.lock`, { create: true })
  file.run('create table holder (pid integer, host text, since text)')
  file.run('insert into holder values (?, ?, ?)', [process.pid, 'elsewhere', new Date().toISOString()])
  file.close()
  lock(dir)
})

test('lets exactly one of many starters take over from a dead one', async () => {
  const dir = join(root, 'race')
  const dead = contender(dir)
  expect(await dead.said).toBe('held')
  dead.child.kill('SIGKILL')
  await dead.child.exited
  const answers = await Promise.all(Array.from({ length: 8 }, () => contender(dir).said))
  expect(answers.filter((answer) => answer === 'held')).toHaveLength(1)
  expect(answers.filter((answer) => answer === 'refused DirInUseError')).toHaveLength(7)
}, 30_000)

test('holds a lock that its owner has forgotten about', () => {
  const dir = join(root, 'forgotten')
  lockDir(dir)
  Bun.gc(true)
  expect(() => lock(dir)).toThrow(DirInUseError)
})

test('reports a folder it cannot use as that, not as a lock', () => {
  mkdirSync(join(root, 'odd.lock'), { recursive: true })
  expect(() => lock(join(root, 'odd'))).toThrow(/^cannot lock .*odd/)
})
