import { openTestEdge } from '../support/supabase/store'
import { storeContract } from './contract'

storeContract('edge', openTestEdge, { keepsPeople: false })
