import { chown, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from 'pg';
import { programPath, startLocal } from './local.js';
import { type PostgresService, unprivilegedUser } from './postgres.js';
import type { Service } from './service.js';

/** PgBouncer in transaction mode before a PostgreSQL, with two connections of its own for all its clients. Always local. */
export async function startPgBouncer(postgres: PostgresService): Promise<Service & { readonly url: string }> {
  const urlAt = (port: number) => {
    const url = new URL(postgres.url);
    url.port = String(port);
    return url.href;
  };
  const service = await startLocal({
    name: 'pgbouncer',
    container: { image: '', port: 0 },
    local: async (directory, port) => {
      const command = await programPath('pgbouncer');
      const owner = await unprivilegedUser();
      const [settings, users] = [join(directory, 'pgbouncer.ini'), join(directory, 'users.txt')];
      await writeFile(
        settings,
        `[databases]
* = host=127.0.0.1 port=${postgres.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${users}
pool_mode = transaction
default_pool_size = 2
`,
      );
      await writeFile(users, `"${postgres.user}" "${postgres.password}"\n`);
      if (owner.uid !== undefined && owner.gid !== undefined)
        for (const file of [settings, users]) await chown(file, owner.uid, owner.gid);
      return { command, args: [settings], stopSignal: 'SIGINT', ...owner };
    },
    probe: async (port) => {
      const client = new Client({ connectionString: urlAt(port), connectionTimeoutMillis: 5_000 });
      client.on('error', () => undefined);
      try {
        await client.connect();
        await client.query('SELECT 1');
      } finally {
        await client.end().catch(() => undefined);
      }
    },
  });
  return Object.assign(service, { url: urlAt(service.port) });
}
