/** A year of answers of many people in the books of usage, written past the server. */
import { Client } from 'pg'

/** How much is written. */
export interface UsageSize {
  /** Other people. */
  readonly people: number
  /** Answers of all of them together. */
  readonly theirs: number
  /** Answers of the one account. */
  readonly mine: number
}

/** Days that the sittings are spread over, evenly: today is the last. */
const DAYS = 365

export class UsageFiller {
  private readonly client: Client

  constructor(
    url: string,
    private readonly size: UsageSize,
  ) {
    this.client = new Client({ connectionString: url })
  }

  /**
   * Fills both tables, for the account with this e-mail, which administers its tenant afterwards.
   * @returns how many rows there are of each.
   */
  async fill(email: string): Promise<{ records: number; quarters: number }> {
    const { people, theirs, mine } = this.size
    await this.client.connect()
    await this.client.query(SETUP)
    const changed = await this.client.query(
      "update users set role = 'admin' where email = $1 returning id, tenant_id",
      [email],
    )
    const { id, tenant_id } = changed.rows[0]
    const indexes = await this.withoutIndexes()
    await this.client.query(RECORDS, [tenant_id, id, mine, 1, DAYS])
    await this.client.query(RECORDS, [tenant_id, null, theirs, people, DAYS])
    await this.client.query(QUARTERS)
    for (const definition of indexes) await this.client.query(definition)
    await this.client.query('vacuum analyze usage_records')
    await this.client.query('vacuum analyze usage_quarters')
    return { records: await this.count('usage_records'), quarters: await this.count('usage_quarters') }
  }

  close(): Promise<void> {
    return this.client.end()
  }

  /** @returns what makes them again. */
  private async withoutIndexes(): Promise<string[]> {
    const { rows } = await this.client.query<{ indexname: string; indexdef: string }>(
      "select indexname, indexdef from pg_indexes where tablename = 'usage_records' and indexname not like '%_pkey'",
    )
    for (const { indexname } of rows) await this.client.query(`drop index ${indexname}`)
    return rows.map(({ indexdef }) => indexdef)
  }

  private async count(table: string): Promise<number> {
    const { rows } = await this.client.query<{ n: string }>(`select count(*) as n from ${table}`)
    return Number(rows[0]?.n)
  }
}

const SETUP = 'set synchronous_commit = off; set session_replication_role = replica'

/**
 * People come and go: each sitting is twenty answers, a minute apart, in one conversation, of one of three models, with one of
 * two keys or none. What an answer cost is a matter of its number.
 */
const RECORDS = `
insert into usage_records (id, tenant_id, user_id, key_id, conversation_id, message_id, model, provider, provider_model, status,
  finish_reason, prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens, usage, cost_nanos, charge_nanos, saved_nanos,
  cost_basis, price_version, first_token_ms, latency_ms, created_at, completed_at)
select gen_random_uuid(), $1::uuid, coalesce($2::uuid, md5('user' || s % $4)::uuid),
  case when s % 3 > 0 then md5('key' || s % 3 || s % $4)::uuid end, md5('conversation' || s || $4)::uuid, gen_random_uuid(),
  'model-' || s % 7 % 3, 'provider-' || s % 7 % 3, 'model-' || s % 7 % 3, case when i % 50 = 0 then 'failed' else 'completed' end, 'stop',
  100 + i % 900, 50 + i % 400, i % 100, 0, '{"prompt_tokens": 100, "completion_tokens": 50}', 1000 * (i % 5000), 1200 * (i % 5000), i % 1000,
  'provider', 'bench#1', 300, 2000, at, at
from (select i, i / 20 as s, now() - (i / 20 * 20::float8 / $3::int) * make_interval(days => $5::int) - i % 20 * interval '1 minute' as at
  from generate_series(0, $3::int - 1) i) one`

const QUARTERS = `
insert into usage_quarters (tenant_id, user_id, key_id, model, quarter, answers, completed, stopped, failed, prompt_tokens,
  completion_tokens, cached_tokens, reasoning_tokens, cost_nanos, charge_nanos, saved_nanos, unpriced, estimated)
select tenant_id, user_id, coalesce(key_id, '00000000-0000-0000-0000-000000000000'), model,
  date_bin('15 minutes', completed_at, '2000-01-01Z') as quarter, count(*), count(*) filter (where status = 'completed'), 0,
  count(*) filter (where status = 'failed'), sum(prompt_tokens), sum(completion_tokens), sum(cached_tokens), sum(reasoning_tokens),
  sum(cost_nanos), sum(charge_nanos), sum(saved_nanos), 0, 0
from usage_records group by 1, 2, 3, 4, 5`
