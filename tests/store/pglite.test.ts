import { openTestPglite } from '../support/db'
import { storeContract } from './contract'

storeContract('pglite', openTestPglite)
