import type { UpstreamLedger, UpstreamReport, UpstreamRow } from '../port.js';
import { upstreams } from '../statements/index.js';
import type { Connection } from './connection.js';

interface Row {
  readonly upstream: string;
  readonly pause_cause: string | null;
  readonly paused_counted: boolean;
  readonly pause_remaining: number | null;
  readonly failing_for: number | null;
  readonly quota: object | null;
  readonly quota_age: number | null;
}

export class PostgresUpstreamLedger implements UpstreamLedger {
  constructor(private readonly connection: Connection) {}

  async pause(upstream: string, ms: number, pause: { cause: string; countedOnly: boolean }): Promise<void> {
    await this.connection.execute(upstreams.pauseUpstream, [upstream, ms, pause.cause, pause.countedOnly]);
  }

  async resume(upstream: string): Promise<void> {
    await this.connection.execute(upstreams.resumeUpstream, [upstream]);
  }

  async report(upstream: string, { failingFor, quota }: UpstreamReport): Promise<void> {
    const values = [upstream, failingFor ?? null, quota ? JSON.stringify(quota) : null];
    await this.connection.execute(upstreams.reportUpstream, values);
  }

  async list(): Promise<UpstreamRow[]> {
    return (await this.connection.query<Row>(upstreams.listUpstreams, [])).map((row) => ({
      upstream: row.upstream,
      ...(row.pause_remaining !== null && row.pause_remaining > 0
        ? {
            pause: {
              cause: row.pause_cause ?? '',
              remaining: row.pause_remaining,
              countedOnly: row.paused_counted,
            },
          }
        : {}),
      ...(row.failing_for !== null && row.failing_for > 0 ? { failingFor: row.failing_for } : {}),
      ...(row.quota && row.quota_age !== null ? { quota: row.quota, quotaAge: row.quota_age } : {}),
    }));
  }
}
