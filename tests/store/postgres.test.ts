import { openTestPostgres } from '../support/db'
import { storeContract } from './contract'

storeContract('postgres', openTestPostgres)
