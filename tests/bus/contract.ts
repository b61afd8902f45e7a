import { afterEach, describe, expect, test } from 'bun:test'
import type { Bus } from '../../src/bus/port'

export interface TestBus {
  bus: Bus
  close: () => Promise<void> | void
}

/** What every bus promises inside one process. */
export function busContract(name: string, open: () => Promise<TestBus> | TestBus): void {
  describe(`${name} as a bus`, () => {
    let opened: TestBus
    afterEach(() => opened.close())
    const start = async () => {
      opened = await open()
      return opened.bus
    }

    test('tells everybody of the topic before it returns, and nobody else', async () => {
      const bus = await start()
      const heard: string[] = []
      bus.subscribe('a', (message) => heard.push(`one ${message}`))
      bus.subscribe('a', (message) => heard.push(`two ${message}`))
      bus.subscribe('b', (message) => heard.push(`other ${message}`))
      bus.publish('a', 'x')
      expect(heard).toEqual(['one x', 'two x'])
    })

    test('tells each message once, whatever is in it', async () => {
      const bus = await start()
      const heard: string[] = []
      bus.subscribe('a', (message) => heard.push(message))
      const messages = ['', ' ', '{"ids":["ü"]}', 'a b\r\nc', '\u0000']
      for (const message of messages) bus.publish('a', message)
      await Bun.sleep(50)
      expect(heard).toEqual(messages)
    })

    test('leaves out who has ended the subscription, and only them', async () => {
      const bus = await start()
      const heard: string[] = []
      const end = bus.subscribe('a', () => heard.push('one'))
      const endOther = bus.subscribe('a', () => heard.push('two'))
      end()
      end()
      bus.publish('a', 'x')
      expect(heard).toEqual(['two'])
      endOther()
      bus.publish('a', 'x')
      expect(heard).toEqual(['two'])
      bus.subscribe('a', () => heard.push('three'))
      bus.publish('a', 'x')
      expect(heard).toEqual(['two', 'three'])
    })

    test('takes a message that nobody waits for, also when it is closed', async () => {
      const bus = await start()
      bus.publish('nobody', 'x')
      await bus.close()
      bus.publish('nobody', 'x')
    })
  })
}
