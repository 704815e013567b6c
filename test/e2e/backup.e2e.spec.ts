import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client as S3Client } from 'minio';
import { digestOfBody, get } from '../support/client.js';
import { ociregistry } from '../support/command.js';
import { BUCKET, emptyDatabase } from '../support/inside.js';
import { ServerProcess } from '../support/servers.js';
import { freePort, type S3Service, startNats, startPostgres, startS3 } from '../support/services/index.js';
import { type AddedImage, type FakeUpstream, startFakeUpstream } from '../support/upstream/index.js';

jest.setTimeout(240_000);

// As docs/operating.md tells it under "Backup and restore".

let upstream: FakeUpstream;
let directory: string;
let early: AddedImage;
let late: AddedImage;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'ociregistry-backup-'));
  // As root the private PostgreSQL runs as another user.
  chmodSync(directory, 0o755);
  upstream = await startFakeUpstream();
  early = upstream.addImage({ repository: 'kept/early', tag: 'v1', layers: [2000, 50_000] });
  late = upstream.addImage({ repository: 'kept/late', tag: 'v1', layers: [3000], seed: 2 });
});
afterAll(async () => {
  await upstream?.stop();
  rmSync(directory, { recursive: true, force: true });
});

async function load(server: ServerProcess, image: string): Promise<void> {
  const done = await ociregistry(['load', '--server', server.admin, `${upstream.host}/kept/${image}:v1`]);
  expect([done.code, done.err]).toEqual([0, '']);
}

async function expectServed(server: ServerProcess, image: string, { root, images }: AddedImage): Promise<void> {
  const at = `${server.url}/v2/${upstream.host}/kept/${image}`;
  expect((await get(`${at}/manifests/v1`)).headers['docker-content-digest']).toBe(root.digest);
  for (const { digest } of images.flatMap((one) => [one.config, ...one.layers]))
    expect(digestOfBody((await get(`${at}/blobs/${digest}`)).body)).toBe(digest);
}

const config = () => ({ registries: [{ name: upstream.host, scheme: 'http' }], verify: { atStart: false } });

it('a copy of the data directory of a server that was stopped is a backup', async () => {
  const dataDir = join(directory, 'data');
  const server = await ServerProcess.start('all', { ...config(), dataDir }, directory);
  try {
    await load(server, 'early');
    await server.stop();
    execFileSync('cp', ['-a', dataDir, join(directory, 'copy')]);
    rmSync(dataDir, { recursive: true });
    renameSync(join(directory, 'copy'), dataDir);
    await server.start();
    await upstream.stop();
    await expectServed(server, 'early', early);
  } finally {
    await server.stop();
    await upstream.start();
  }
});

/** pg_dump and pg_restore, which come with the PostgreSQL 15 that local tests run on; skipped on a machine that runs it in a container. */
const programs = ['/usr/lib/postgresql/15/bin', ...(process.env.PATH ?? '').split(':')].find((path) =>
  existsSync(join(path, 'pg_dump')),
);

(programs ? it : it.skip)(
  'a dump and a copy of the bucket are a backup; what is newer comes from the journal',
  async () => {
    const [postgres, nats, s3] = await Promise.all([startPostgres({ version: 15 }), startNats(), startS3()]);
    const run = (program: string, ...args: string[]) => execFileSync(join(programs!, program), args);
    const client = clientOf(s3);
    let server: ServerProcess | undefined;
    try {
      const shared = {
        ...config(),
        dataDir: join(directory, 'distributed'),
        metadata: { url: postgres.url },
        bus: { nats: nats.url },
        blobs: { s3: { endpoint: s3.endpoint, bucket: BUCKET, accessKey: s3.accessKey, secretKey: s3.secretKey } },
        relay: { port: await freePort(), advertise: '127.0.0.1' },
      };
      server = await ServerProcess.start('all', shared, directory);
      await load(server, 'early');
      const dump = join(directory, 'catalog.dump');
      run('pg_dump', '--format=custom', `--file=${dump}`, postgres.url);
      await load(server, 'late');
      await server.stop();
      await client.makeBucket('backup', s3.region);
      await mirror(client, BUCKET, 'backup');

      await emptyDatabase(postgres.url);
      for (const name of await namesOf(client, BUCKET)) await client.removeObject(BUCKET, name);
      run('pg_restore', '--clean', '--if-exists', '--no-owner', `--dbname=${postgres.url}`, dump);
      await mirror(client, 'backup', BUCKET);
      await upstream.stop();
      const file = readdirSync(directory).find((name) => name.startsWith('all-') && name.includes(portOf(server!)))!;
      const rebuilt = await ociregistry(['--config-file', join(directory, file), 'rebuild']);
      expect([rebuilt.code, rebuilt.err]).toEqual([0, '']);
      await server.start();
      await expectServed(server, 'early', early);
      await expectServed(server, 'late', late);
      expect(await ociregistry(['verify', '--server', server.admin])).toMatchObject({ code: 0 });
    } finally {
      await server?.stop();
      await upstream.start().catch(() => {});
      await Promise.all([postgres.stop(), nats.stop(), s3.stop()]);
    }
  },
);

const portOf = ({ url }: ServerProcess) => new URL(url).port;

function clientOf({ port, accessKey, secretKey, region }: S3Service): S3Client {
  return new S3Client({ endPoint: '127.0.0.1', port, useSSL: false, accessKey, secretKey, region });
}

async function namesOf(client: S3Client, bucket: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of client.listObjectsV2(bucket, '', true)) names.push(String(name));
  return names;
}

async function mirror(client: S3Client, from: string, to: string): Promise<void> {
  for (const name of await namesOf(client, from)) {
    const chunks: Buffer[] = [];
    for await (const chunk of await client.getObject(from, name)) chunks.push(chunk as Buffer);
    await client.putObject(to, name, Buffer.concat(chunks));
  }
}
