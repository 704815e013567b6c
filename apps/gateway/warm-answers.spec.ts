import { createHash } from 'node:crypto';
import { InProcessBus } from '#bus/adapters';
import type { ManifestRecord } from '#catalog';
import { type Digest, Failure, type Repository } from '#oci';

import { AccessTimes, FactCache, Registry } from '#registry';
import { AccessLog, Traffic } from '#telemetry';

import { type RawAnswer, RawConnection } from '../../test/support/raw.js';
import { GatewayServer } from './gateway-server.js';
import { Observation } from './observation.js';
import { PublicAddress } from './public-address.js';
import { PullApi } from './pull-api.js';
import { isPlain } from './warm-answers.js';

const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const HERE: Repository = { upstream: 'docker.io', path: 'team/here' };
const digestOf = (bytes: Buffer): Digest => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
const manifest = (text: string): ManifestRecord => {
  const bytes = Buffer.from(text);
  return { digest: digestOf(bytes), mediaType: 'application/vnd.oci.image.manifest.v1+json', bytes };
};
const OLD = manifest('{"old":true}');
const NEW = manifest('{"new":true}');
const BLOB = Buffer.from('a small blob');

/** The server over a registry whose memory is filled here, with a catalog of what `known` holds and an upstream without anything. */
describe('answers from memory', () => {
  const bus = new InProcessBus();
  const known = new Map<string, ManifestRecord>();
  const touched: { repository: Repository; digest: Digest }[] = [];
  const key = ({ path }: Repository, reference: string) => `${path}@${reference}`;
  const catalog = {
    findManifest: async (repository: Repository, digest: Digest) => known.get(key(repository, digest)),
    findTag: async (repository: Repository, tag: string) => {
      const found = known.get(key(repository, tag));
      return found && { digest: found.digest, age: 0, manifest: found };
    },
    findBlob: async () => undefined,
    touch: async (accesses: typeof touched) => void touched.push(...accesses),
  };
  const waits = {
    wait: () => Promise.reject(new Failure('MANIFEST_UNKNOWN', undefined, { origin: 'upstream' })),
    close: () => {},
  };
  const facts = new FactCache({
    manifestBytes: 2 ** 20,
    blobBytes: 2 ** 20,
    tagTtl: 60_000,
    negativeTtl: 1,
    retryAfter: 1,
  });
  const registry = new Registry({ catalog, blobs: {}, bus, waits, facts, log } as never, {
    airGapped: false,
    revalidateTimeout: 1000,
    tagRule: () => ({ fresh: 60_000, stale: 60_000 }),
    lists: { rule: { fresh: 1, stale: 1 }, emptyFor: 1 },
  });
  const traffic = new Traffic();
  const accesses = new AccessTimes(catalog as never, log, {
    flushEvery: 3_600_000,
    resolution: 60_000,
    clientOf: () => 'client',
  });
  const lines = new AccessLog(log, { hits: 0, misses: 0, failures: 0, slow: 3_600_000 }, false);
  const api = new PullApi(registry, {
    sources: { defaultNs: 'docker.io', configured: new Set(), allows: () => true },
    hop: () => undefined,
    pathPrefix: '',
    address: new PublicAddress({ trustProxy: false }),
    log,
    observation: new Observation(traffic, accesses, lines),
    serverTiming: true,
    redirects: false,
    gate: undefined,
  });
  const server = new GatewayServer(api, log);
  /** Called for requests that go the usual way alone. */
  const usual = jest.spyOn(registry, 'asked');
  let connection: RawConnection;

  beforeAll(async () => {
    connection = await RawConnection.open(`http://127.0.0.1:${await server.listen(0, '127.0.0.1')}`);
    registry.facts.addBlob(HERE, digestOf(BLOB), BLOB.length);
    registry.facts.addBlobBytes(digestOf(BLOB), BLOB);
  });
  beforeEach(() => {
    known.clear();
    registry.facts.addManifest(HERE, OLD);
    registry.facts.addTag(HERE, 'v1', { digest: OLD.digest, age: 0 });
  });
  afterAll(async () => {
    await server.stop(100);
    registry.close();
    await accesses.close();
    await lines.close();
  });

  async function ask(path: string, { method = 'GET', headers = '' } = {}): Promise<RawAnswer & { usual: boolean }> {
    usual.mockClear();
    connection.send(`${method} ${path} HTTP/1.1\r\nHost: x\r\nUser-Agent: abcde\r\n${headers}\r\n`);
    const answer = await connection.answer({ head: method === 'HEAD' });
    return { ...answer, usual: usual.mock.calls.length > 0 };
  }
  const same = ({ status, headers, body }: RawAnswer) => ({
    status,
    headers: headers.filter(([name]) => name !== 'Date'),
    body: body.toString(),
  });

  it.each([
    ['a tag', '/v2/team/here/manifests/v1'],
    ['a manifest', `/v2/team/here/manifests/${OLD.digest}`],
    ['a blob', `/v2/team/here/blobs/${digestOf(BLOB)}`],
    ['a blob with ns', `/v2/team/here/blobs/${digestOf(BLOB)}?ns=docker.io`],
  ])('are the same as the usual ones: %s', async (_, path) => {
    const first = await ask(path);
    const second = await ask(path);
    expect([first.usual, second.usual]).toEqual([true, false]);
    expect(same(second)).toEqual(same(first));
    const head = await ask(path, { method: 'HEAD' });
    expect(head.usual).toBe(false);
    expect(same(head)).toEqual({ ...same(first), body: '' });
  });

  it('keep what was asked apart: ns is echoed to those who sent it', async () => {
    const path = `/v2/team/here/blobs/${digestOf(BLOB)}`;
    for (let i = 0; i < 2; i++) {
      expect((await ask(`${path}?ns=docker.io`)).header('oci-namespace')).toBe('docker.io');
      expect((await ask(path)).header('oci-namespace')).toBeUndefined();
    }
  });

  it('are counted and dated like others', async () => {
    const path = `/v2/team/here/manifests/${OLD.digest}`;
    await ask(path);
    const before = { ...traffic.of('docker.io', 'manifest'), total: traffic.total };
    await ask(path);
    await ask(path, { method: 'HEAD' });
    const { hits, bytesServed } = traffic.of('docker.io', 'manifest');
    expect([hits - before.hits, bytesServed - before.bytesServed]).toEqual([2, OLD.bytes.length]);
    expect(traffic.total - before.total).toBe(2);
    await accesses.flush();
    expect(touched.map(({ digest }) => digest)).toContain(OLD.digest);
  });

  it('end when the tag moves', async () => {
    await ask('/v2/team/here/manifests/v1');
    expect((await ask('/v2/team/here/manifests/v1')).body).toEqual(OLD.bytes);
    known.set(key(HERE, 'v1'), NEW);
    bus.signal('tag.moved', { v: 1, repository: HERE, tag: 'v1', digest: NEW.digest });
    const moved = await ask('/v2/team/here/manifests/v1');
    expect([moved.usual, moved.body.toString()]).toEqual([true, NEW.bytes.toString()]);
    const again = await ask('/v2/team/here/manifests/v1');
    expect([again.usual, again.body.toString()]).toEqual([false, NEW.bytes.toString()]);
    expect(again.header('docker-content-digest')).toBe(NEW.digest);
    expect(again.header('content-length')).toBe(String(NEW.bytes.length));
  });

  it('end when the content is removed', async () => {
    const path = `/v2/team/here/manifests/${OLD.digest}`;
    await ask(path);
    expect((await ask(path)).usual).toBe(false);
    bus.signal('content.removed', { v: 1, digests: [OLD.digest] });
    expect(await ask(path)).toMatchObject({ usual: true, status: 404 });
  });

  it('are only for the repository that has the content', async () => {
    for (const kind of ['manifests', 'blobs']) {
      const digest = kind === 'blobs' ? digestOf(BLOB) : OLD.digest;
      await ask(`/v2/team/here/${kind}/${digest}`);
      expect(await ask(`/v2/team/here/${kind}/${digest}`)).toMatchObject({ usual: false, status: 200 });
      for (let i = 0; i < 3; i++)
        expect(await ask(`/v2/team/there/${kind}/${digest}`)).toMatchObject({ usual: true, status: 404 });
    }
  });

  it.each([
    ['Range: bytes=0-1\r\n', { status: 206 }],
    [`Range: bytes=0-1\r\nIf-Range: "other"\r\n`, { status: 200 }],
    [`If-None-Match: "${digestOf(BLOB)}"\r\n`, { status: 304 }],
    ['X-Registry: quay.io\r\n', { status: 404 }],
    ['vIA: 1.1 a, 1.1 b, 1.1 c, 1.1 d, 1.1 e, 1.1 f, 1.1 g, 1.1 h, 1.1 i\r\n', { status: 508 }],
  ])('are not for requests with %j', async (headers, expected) => {
    const path = `/v2/team/here/blobs/${digestOf(BLOB)}`;
    await ask(path);
    expect(await ask(path)).toMatchObject({ usual: false, status: 200 });
    expect(await ask(path, { headers })).toMatchObject(expected);
    expect(await ask(path)).toMatchObject({ usual: false, status: 200 });
  });

  it('are not learnt from a request whose header named the registry', async () => {
    const path = '/v2/team/elsewhere/manifests/v1';
    const there = { upstream: 'quay.io', path: 'team/elsewhere' };
    registry.facts.addManifest(there, NEW);
    registry.facts.addTag(there, 'v1', { digest: NEW.digest, age: 0 });
    expect(await ask(path, { headers: 'X-Registry: quay.io\r\n' })).toMatchObject({ status: 200 });
    expect(await ask(path)).toMatchObject({ usual: true, status: 404 });
  });
});

describe('a plain request', () => {
  it('has headers that say nothing of the answer', () => {
    expect(
      isPlain(['Host', 'x', 'User-Agent', 'y', 'Authorization', 'z', 'Accept', '*/*', 'Foo', 'bar', 'Ab-Range', 'z']),
    ).toBe(true);
    for (const name of ['via', 'VIA', 'Range', 'if-range', 'X-REGISTRY', 'If-None-Match'])
      expect(isPlain(['Host', 'x', name, 'y'])).toBe(false);
  });
});
