import type { Given } from './contract/given'

/** What must hold for every tree at any moment, as queries that find what breaks it. `$1` is the user. */
const BROKEN = {
  'a message has no parent at the depth above it': `
    select m.id from mine m left join messages p on p.conversation_id = m.conversation_id and p.id = m.parent_id
    where m.depth <> coalesce(p.depth + 1, 0) or (m.parent_id is not null and p.id is null)`,
  'a leaf has not exactly one branch': `
    select m.id from mine m
    where not exists (select 1 from messages x where x.conversation_id = m.conversation_id and x.parent_id = m.id)
      and (select count(*) from branches b where b.conversation_id = m.conversation_id and b.leaf_id = m.id) <> 1`,
  'a branch ends nowhere although there are messages': `
    select b.id from branches b join conversations c on c.id = b.conversation_id
    where c.user_id = $1 and b.leaf_id is null and exists (select 1 from messages x where x.conversation_id = b.conversation_id)`,
  'an empty conversation has not exactly one branch': `
    select c.id from conversations c where c.user_id = $1
      and not exists (select 1 from messages x where x.conversation_id = c.id)
      and (select count(*) from branches b where b.conversation_id = c.id) <> 1`,
  'the active leaf is not where a branch ends': `
    select c.id from conversations c where c.user_id = $1 and not exists (
      select 1 from branches b where b.conversation_id = c.id and b.leaf_id is not distinct from c.active_leaf_id)`,
  'a message is there and reported gone': `
    select m.id from mine m join deletions d on d.user_id = $1 and d.kind = 'message' and d.id = m.id`,
  'a message is being written by nobody': `
    select m.id from mine m where (m.status = 'streaming') <>
      exists (select 1 from runs r where r.message_id = m.id and r.status = 'running')`,
  'a run outlived its message': `
    select r.id from runs r where r.user_id = $1 and not exists (select 1 from messages m where m.id = r.message_id)`,
}

/** What is wrong with the trees of a user; nothing, one hopes. */
export async function brokenTrees(given: Given, userId: string): Promise<string[]> {
  const parts = Object.entries(BROKEN).map(([what, query]) => `select '${what}' as what from (${query}) broken`)
  const mine = 'select m.* from messages m join conversations c on c.id = m.conversation_id where c.user_id = $1'
  const rows = await given.sql<{ what: string }>(`with mine as (${mine}) ${parts.join(' union all ')}`, [userId])
  return rows.map(({ what }) => what)
}
