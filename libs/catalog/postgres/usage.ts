import { keeping } from '../statements/index.js';
import type { UsageCounts, UsageLedger } from '../usage.js';
import type { Connection } from './connection.js';

export class PostgresUsage implements UsageLedger {
  constructor(private readonly connection: Connection) {}

  async add(counts: readonly UsageCounts[]): Promise<void> {
    if (counts.length === 0) return;
    await this.connection.execute(keeping.addUsage, [
      counts.map((item) => item.upstream),
      counts.map((item) => item.kind),
      counts.map((item) => item.hits),
      counts.map((item) => item.misses),
      counts.map((item) => item.failures),
      counts.map((item) => item.bytesServed),
      counts.map((item) => item.bytesFetched),
      counts.map((item) => item.upstreamRequests),
    ]);
  }

  async totals(ms: number): Promise<readonly UsageCounts[]> {
    const rows = await this.connection.query<Record<string, string>>(keeping.sumUsage, [ms]);
    return rows.map((row) => ({
      upstream: String(row.upstream),
      kind: row.kind as UsageCounts['kind'],
      hits: Number(row.hits),
      misses: Number(row.misses),
      failures: Number(row.failures),
      bytesServed: Number(row.bytes_served),
      bytesFetched: Number(row.bytes_fetched),
      upstreamRequests: Number(row.upstream_requests),
    }));
  }

  expire(ms: number): Promise<number> {
    return this.connection.execute(keeping.expireUsage, [ms]);
  }
}
