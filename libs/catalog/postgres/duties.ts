import { randomUUID } from 'node:crypto';
import type { Duty, DutyRoster } from '../duties.js';
import { keeping } from '../statements/index.js';
import type { Connection } from './connection.js';

export class PostgresDuties implements DutyRoster {
  constructor(private readonly connection: Connection) {}

  async take(name: string, holder: string, leaseMs: number, every = 0): Promise<Duty | undefined> {
    // Another for every time, so that what one run left behind never passes for the next.
    const run = `${holder} ${randomUUID()}`;
    const [row] = await this.connection.query(keeping.takeDuty, [name, run, leaseMs, every]);
    if (!row) return undefined;
    return {
      renew: async (ms) => (await this.connection.execute(keeping.renewDuty, [name, run, ms])) > 0,
      end: async (done) => {
        await this.connection.execute(keeping.endDuty, [name, run, done]);
      },
    };
  }
}
