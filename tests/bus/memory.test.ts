import { MemoryBus } from '../../src/bus/memory'
import { busContract } from './contract'

busContract('the memory bus', () => ({ bus: new MemoryBus(), close() {} }))
