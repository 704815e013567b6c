import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { Client as S3Client } from 'minio';
import { Client } from 'pg';
import { startDockerRegistry, startNats, startPostgres, startS3 } from './index.js';
import { httpStatus } from './probe.js';

jest.setTimeout(300_000);

async function sql(url: string, text: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}

describe.each([undefined, 15, 17, 18] as const)('PostgreSQL %s', (version) => {
  it('keeps committed rows over a kill and a restart on the same port', async () => {
    const postgres = await startPostgres({ version });
    try {
      const url = await postgres.createDatabase('other');
      await sql(url, 'CREATE TABLE t (v text)');
      await sql(url, "INSERT INTO t VALUES ('kept')");
      await postgres.kill();
      await expect(sql(url, 'SELECT 1')).rejects.toThrow();
      await postgres.restart();
      expect(await sql(url, 'SELECT v FROM t')).toEqual([{ v: 'kept' }]);
      if (version) {
        const [row] = await sql(postgres.url, "SELECT current_setting('server_version_num')::int / 10000 AS major");
        expect(row).toEqual({ major: version });
      }
      await postgres.restart();
      expect(await sql(url, 'SELECT v FROM t')).toEqual([{ v: 'kept' }]);
    } finally {
      await postgres.stop();
    }
    await expect(sql(postgres.url, 'SELECT 1')).rejects.toThrow();
  });

  it('refuses a wrong password', async () => {
    const postgres = await startPostgres({ version });
    try {
      await expect(sql(postgres.url.replace(postgres.password, 'wrong'), 'SELECT 1')).rejects.toThrow(/password/);
    } finally {
      await postgres.stop();
    }
  });
});

it('NATS keeps a stream over a kill', async () => {
  const nats = await startNats();
  try {
    const before = await connect({ servers: nats.url, reconnect: false });
    await (await jetstreamManager(before)).streams.add({ name: 'S', subjects: ['s.>'] });
    await jetstream(before).publish('s.1', 'kept');
    await before.close();
    await nats.kill();
    await nats.restart();
    const after = await connect({ servers: nats.url });
    const message = await (await jetstreamManager(after)).streams.getMessage('S', { seq: 1 });
    expect(message?.string()).toBe('kept');
    await after.close();
  } finally {
    await nats.stop();
  }
});

it('S3 keeps an object over a kill', async () => {
  const s3 = await startS3();
  try {
    const { host: endPoint, port, accessKey, secretKey, region } = s3;
    const client = new S3Client({ endPoint, port, accessKey, secretKey, region, useSSL: false });
    await client.makeBucket('bucket');
    await client.putObject('bucket', 'key', 'kept');
    await s3.kill();
    await s3.restart();
    const chunks = await (await client.getObject('bucket', 'key')).toArray();
    expect(Buffer.concat(chunks).toString()).toBe('kept');
  } finally {
    await s3.stop();
  }
});

describe('the distribution registry', () => {
  it('is open by default', async () => {
    const registry = await startDockerRegistry();
    try {
      expect(await httpStatus(`${registry.url}/v2/_catalog`)).toBe(200);
      await registry.restart();
      expect(await httpStatus(`${registry.url}/v2/`)).toBe(200);
    } finally {
      await registry.stop();
    }
  });

  it('asks for the password over TLS when told to', async () => {
    const registry = await startDockerRegistry({ htpasswd: true, tls: true });
    try {
      const { user, password } = registry.credentials ?? {};
      expect(await httpStatus(`${registry.url}/v2/`, registry.ca)).toBe(401);
      const authorized = registry.url.replace('://', `://${user}:${password}@`);
      expect(await httpStatus(`${authorized}/v2/`, registry.ca)).toBe(200);
      expect(await httpStatus(`${authorized.replace(password ?? '', 'wrong')}/v2/`, registry.ca)).toBe(401);
    } finally {
      await registry.stop();
    }
  });
});
