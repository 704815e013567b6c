import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { DocumentCheck } from '../support/api-document.js';
import { eventually } from '../support/eventually.js';
import { type RawAnswer, raw } from '../support/raw.js';
import { type Installation, install } from '../support/servers.js';
import { programPath } from '../support/services/local.js';
import {
  type BlobSource,
  bytesSource,
  type FakeUpstream,
  randomBytes,
  startFakeUpstream,
} from '../support/upstream/index.js';

jest.setTimeout(240_000);

/** Needs an object store, so there is one stack that can do it. */
describe('redirect: always', () => {
  let upstream: FakeUpstream;
  let system: Installation;
  let large: BlobSource;
  let path: string;
  const check = new DocumentCheck();
  const bytesOf = (blob: BlobSource) => Buffer.concat([...blob.chunks(0, blob.size)]);

  beforeAll(async () => {
    upstream = await startFakeUpstream();
    system = await install('distributed', [upstream.host], { defaultNs: upstream.host, redirect: 'always' });
    large = upstream.addBlob('team/app', bytesSource(randomBytes(200_000, 7)));
    path = `/v2/team/app/blobs/${large.digest}`;
    // Whoever comes while it arrives is served here; afterwards it is in the store.
    await eventually(async () => expect(await ask(path)).toMatchObject({ status: 307 }));
  });
  afterAll(async () => {
    await system?.stop();
    await upstream?.stop();
  });

  async function ask(target: string, headers: readonly string[] = [], method = 'GET'): Promise<RawAnswer> {
    const answer = await raw(system.gateways[0]!.url, target, { method, headers });
    expect(check.problems(method, target, answer)).toEqual([]);
    return answer;
  }

  it('A80, A90, A91: sends a GET for a stored blob to the store: one hop, absolute, for 300 s at least', async () => {
    const answer = await ask(`${path}?ns=${upstream.host}`);
    expect(answer.status).toBe(307);
    const link = new URL(answer.header('location')!);
    expect(Number(link.searchParams.get('X-Amz-Expires'))).toBeGreaterThanOrEqual(300);
    const body = await fetch(link, { redirect: 'error' });
    const bytes = Buffer.from(await body.arrayBuffer());
    expect([body.status, `sha256:${createHash('sha256').update(bytes).digest('hex')}`]).toEqual([200, large.digest]);
  });

  it('A92: a Go client that has credentials for us follows, and does not take them along', async () => {
    const { host } = new URL(system.gateways[0]!.url);
    const directory = mkdtempSync(join(tmpdir(), 'ociregistry-crane-'));
    const auths = { [host]: { auth: Buffer.from('user:password').toString('base64') } };
    writeFileSync(join(directory, 'config.json'), JSON.stringify({ auths }));
    const crane = await programPath('crane');
    const args = ['blob', '--insecure', `${host}/team/app@${large.digest}`];
    const options = {
      env: { ...process.env, DOCKER_CONFIG: directory },
      encoding: 'buffer',
      maxBuffer: 1 << 20,
    } as const;
    try {
      const { stdout } = await promisify(execFile)(crane, args, options);
      expect(stdout.equals(bytesOf(large))).toBe(true);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('A91: the store answers ranges', async () => {
    const answer = await ask(path, ['Range: bytes=1000-1999']);
    expect(answer.status).toBe(307);
    const part = await fetch(answer.header('location')!, { headers: { range: 'bytes=1000-1999' } });
    expect(part.status).toBe(206);
    expect(Buffer.from(await part.arrayBuffer()).equals(bytesOf(large).subarray(1000, 2000))).toBe(true);
  });

  it('A90: answers HEAD, conditions, bad ranges, small blobs and manifests itself', async () => {
    expect(await ask(path, [], 'HEAD')).toMatchObject({ status: 200 });
    expect(await ask(path, [`If-None-Match: "${large.digest}"`])).toMatchObject({ status: 304 });
    expect(await ask(path, ['Range: bytes=900000-'])).toMatchObject({ status: 416 });
    const image = upstream.addImage({ repository: 'team/app' });
    const small = upstream.addBlob('team/app', bytesSource(randomBytes(2000, 8)));
    for (let i = 0; i < 3; i++) {
      expect((await ask(`/v2/team/app/blobs/${small.digest}`)).body.equals(bytesOf(small))).toBe(true);
      expect(await ask(`/v2/team/app/manifests/${image.root.digest}`)).toMatchObject({ status: 200 });
    }
  });

  it('fetches a blob anew that the store has lost, instead of sending clients to nothing', async () => {
    await system.stored.remove(large.digest);
    const answer = await ask(path);
    expect([answer.status, answer.body.equals(bytesOf(large))]).toEqual([200, true]);
  });
});
