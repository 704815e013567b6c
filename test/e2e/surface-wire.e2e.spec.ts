import { createHash } from 'node:crypto';
import { DocumentCheck } from '../support/api-document.js';
import { type RawAnswer, RawConnection, raw } from '../support/raw.js';
import { type Installation, install, stacks } from '../support/servers.js';
import {
  type BlobSource,
  bytesSource,
  type FakeUpstream,
  MEDIA_TYPES,
  made,
  randomBytes,
  startFakeUpstream,
} from '../support/upstream/index.js';

jest.setTimeout(240_000);

const INDEX = 'application/vnd.oci.image.index.v1+json';
const IMMUTABLE = 'max-age=31536000, immutable';
const absent = `sha256:${'0'.repeat(64)}`;
/** Transport headers that every answer of a kept connection has. */
const KEPT = {
  connection: 'keep-alive',
  'keep-alive': 'timeout=130',
  'docker-distribution-api-version': 'registry/2.0',
};

describe.each(stacks())('the wire of the %s stack', (name) => {
  let upstream: FakeUpstream;
  /** Each misbehaves in its own way from its first request on. */
  let hanging: FakeUpstream;
  let limiting: FakeUpstream;
  let resting: FakeUpstream;
  let system: Installation;
  let base: string;
  const check = new DocumentCheck();
  const problems: string[] = [];

  beforeAll(async () => {
    [upstream, hanging, limiting, resting] = (await Promise.all(
      Array.from({ length: 4 }, () => startFakeUpstream()),
    )) as [FakeUpstream, FakeUpstream, FakeUpstream, FakeUpstream];
    const hosts = [upstream, hanging, limiting, resting].map(({ host }) => host);
    system = await install(name, hosts, {
      defaultNs: upstream.host,
      // Every tag and list is asked for first, so that what is answered with content in the cache can be seen.
      tags: { fresh: '0s', stale: '0s' },
      prefetch: { enabled: false },
      pullTimeout: '5s',
    });
    base = system.gateways[0]!.url;
    hanging.faults.add({ hang: true });
    limiting.faults.add({ status: 429, headers: { 'retry-after': '7' } });
    resting.faults.add({ status: 500 });
  });
  afterAll(async () => {
    await system?.stop();
    await Promise.all([upstream, hanging, limiting, resting].map((each) => each?.stop()));
  });
  afterEach(() => upstream.faults.clear());

  /** Sends a raw request, and holds the answer against the document. */
  const ask = async (target: string, headers: readonly string[] = [], method = 'GET'): Promise<RawAnswer> => {
    const answer = await raw(base, target, { method, headers });
    problems.push(...check.problems(method, target, answer));
    return answer;
  };
  const head = (target: string, headers: readonly string[] = []) => ask(target, headers, 'HEAD');
  const errorOf = (answer: RawAnswer) => [answer.status, JSON.parse(answer.body.toString()).errors[0].code];
  /** All headers but Date. */
  // What changes from answer to answer is left to the document.
  const headersOf = ({ headers }: RawAnswer) =>
    Object.fromEntries(
      headers
        .map(([key, value]) => [key.toLowerCase(), value])
        .filter(([key]) => key !== 'date' && key !== 'server-timing'),
    );
  const bytesOf = (blob: BlobSource) => Buffer.concat([...blob.chunks(0, blob.size)]);
  const image = (repository: string, tag = 'v1') => upstream.addImage({ repository, tag });
  const blob = (repository: string, size = 2000, seed = 1) =>
    upstream.addBlob(repository, bytesSource(randomBytes(size, seed)));

  describe('golden headers (C79)', () => {
    it('A1-A3: version check', async () => {
      const want = { ...KEPT, 'content-type': 'application/json', 'content-length': '2' };
      for (const target of ['/v2/', '/v2', '/v2/?ns=docker.io']) {
        const answer = await ask(target);
        expect([answer.status, answer.body.toString(), headersOf(answer)]).toEqual([200, '{}', want]);
        const bare = await head(target);
        expect([bare.status, headersOf(bare)]).toEqual([200, want]);
      }
    });

    it('A39, A40, A58: manifests, by tag and by digest, cold and warm', async () => {
      const { root } = image('golden');
      const want = {
        ...KEPT,
        'content-type': root.mediaType,
        'content-length': String(root.size),
        'docker-content-digest': root.digest,
        etag: `"${root.digest}"`,
      };
      for (const [reference, cache] of [
        ['v1', 'no-cache'],
        [root.digest, IMMUTABLE],
        ['v1', 'no-cache'],
      ] as const) {
        const answer = await ask(`/v2/golden/manifests/${reference}?ns=${upstream.host}`);
        const headers = { ...want, 'cache-control': cache, 'oci-namespace': upstream.host };
        expect([answer.status, headersOf(answer), answer.body.equals(root.bytes)]).toEqual([200, headers, true]);
        expect(headersOf(await head(`/v2/golden/manifests/${reference}?ns=${upstream.host}`))).toEqual(headers);
      }
    });

    it('A62, A63: blobs, cold and warm, whole and in part', async () => {
      const { digest } = blob('golden');
      const common = {
        ...KEPT,
        'content-type': 'application/octet-stream',
        'docker-content-digest': digest,
        etag: `"${digest}"`,
        'accept-ranges': 'bytes',
        'cache-control': IMMUTABLE,
      };
      const target = `/v2/golden/blobs/${digest}`;
      for (let round = 0; round < 2; round++) {
        const whole = await ask(target);
        expect([whole.status, headersOf(whole)]).toEqual([200, { ...common, 'content-length': '2000' }]);
        const bare = await head(target);
        expect([bare.status, headersOf(bare)]).toEqual([200, { ...common, 'content-length': '2000' }]);
        const part = await ask(target, ['Range: bytes=10-19']);
        const range = { 'content-length': '10', 'content-range': 'bytes 10-19/2000' };
        expect([part.status, headersOf(part)]).toEqual([206, { ...common, ...range }]);
      }
    });

    it('A57, A84: not modified', async () => {
      const { root } = image('golden');
      const manifest = await ask('/v2/golden/manifests/v1', [`If-None-Match: "${root.digest}"`]);
      const entity = { 'docker-content-digest': root.digest, etag: `"${root.digest}"`, 'cache-control': 'no-cache' };
      expect([manifest.status, headersOf(manifest)]).toEqual([304, { ...KEPT, ...entity }]);
      const { digest } = blob('golden');
      const layer = await ask(`/v2/golden/blobs/${digest}`, [`If-None-Match: "${digest}"`]);
      const bytes = { 'docker-content-digest': digest, etag: `"${digest}"`, 'cache-control': IMMUTABLE };
      expect([layer.status, headersOf(layer)]).toEqual([304, { ...KEPT, ...bytes, 'accept-ranges': 'bytes' }]);
    });

    it('A99, A107, A106: lists', async () => {
      const { root } = image('golden');
      const json = (body: Buffer, type = 'application/json') => ({
        ...KEPT,
        'content-type': type,
        'content-length': String(body.length),
      });
      image('golden', 'v2');
      const link = '</v2/golden/tags/list?n=1&last=v1>; rel="next"';
      const tags = await ask('/v2/golden/tags/list?n=1');
      expect([tags.status, headersOf(tags)]).toEqual([200, { ...json(tags.body), link }]);
      expect(headersOf(await head('/v2/golden/tags/list?n=1'))).toEqual({ ...json(tags.body), link });
      const referrers = await ask(`/v2/golden/referrers/${root.digest}?artifactType=a/b`);
      const filtered = { ...json(referrers.body, INDEX), 'oci-filters-applied': 'artifactType' };
      expect([referrers.status, headersOf(referrers)]).toEqual([200, filtered]);
      expect((await head(`/v2/golden/referrers/${root.digest}?artifactType=a/b`)).header('content-type')).toBe(INDEX);
      const catalog = await ask('/v2/_catalog');
      expect([catalog.status, headersOf(catalog)]).toEqual([200, json(catalog.body)]);
      expect(headersOf(await head('/v2/_catalog'))).toEqual(json(catalog.body));
    });

    it('A93: errors, with and without a body', async () => {
      for (const target of ['/v2/golden/manifests/none', '/nowhere', '/v2/golden/blobs/sha256:00']) {
        const answer = await raw(base, target);
        const want = { ...KEPT, 'content-type': 'application/json', 'content-length': String(answer.body.length) };
        expect(headersOf(answer)).toEqual(want);
        expect(headersOf(await raw(base, target, { method: 'HEAD' }))).toEqual(want);
      }
    });
  });

  describe('manifests', () => {
    it.each<[string, string[]]>([
      [
        'docker: six lines',
        [...Object.values(MEDIA_TYPES.docker), INDEX, 'application/json'].map((type) => `Accept: ${type}`),
      ],
      ['containerd: one line', [`Accept: ${MEDIA_TYPES.docker.manifest}, ${INDEX}, */*`]],
      ['oras: one exact type', [`Accept: ${INDEX}`]],
      ['A44: none', []],
      ['A44: */*', ['Accept: */*']],
      ['A45: one that excludes it', ['Accept: application/vnd.docker.distribution.manifest.v1+prettyjws']],
      ['A45: an image only', [`Accept: ${MEDIA_TYPES.oci.manifest}`]],
    ])('A43, A46: Accept changes nothing: %s', async (_, headers) => {
      const { root } = upstream.addImage({
        repository: 'accepted',
        tag: 'v1',
        platforms: ['linux/amd64', 'linux/arm64'],
      });
      const answer = await ask('/v2/accepted/manifests/v1', headers);
      expect([answer.status, answer.header('content-type'), answer.body.equals(root.bytes)]).toEqual([
        200,
        INDEX,
        true,
      ]);
    });

    it.each([
      MEDIA_TYPES.docker.manifest,
      MEDIA_TYPES.docker.index,
      MEDIA_TYPES.oci.manifest,
      INDEX,
      'application/vnd.oci.artifact.manifest.v1+json',
      'application/vnd.docker.distribution.manifest.v1+prettyjws',
      'application/vnd.docker.distribution.manifest.v1+json',
      'application/vnd.example.Unknown+json',
    ])('A41, A42, A47, A48: %s passes byte for byte', async (mediaType) => {
      const bytes = Buffer.from(
        `{\n "z":1,"schemaVersion" : 2,\t"a":[1.0,1e3],"\\u00e9":"é","mediaType":"${mediaType}"}\n`,
      );
      const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
      upstream.content.addManifest('typed', { mediaType, digest, bytes }, 'odd');
      for (const reference of ['odd', digest]) {
        const answer = await ask(`/v2/typed/manifests/${reference}`);
        expect([answer.status, answer.header('content-type'), answer.body.equals(bytes)]).toEqual([
          200,
          mediaType,
          true,
        ]);
      }
    });

    it('A50: 4 MiB exactly is served, one byte more is refused', async () => {
      const sized = (size: number) => {
        const bytes = Buffer.alloc(size, ' ');
        bytes.write('{"schemaVersion":2}');
        const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
        upstream.content.addManifest('sized', { mediaType: MEDIA_TYPES.oci.manifest, digest, bytes });
        return digest;
      };
      const largest = await ask(`/v2/sized/manifests/${sized(4 * 2 ** 20)}`);
      expect([largest.status, largest.body.length]).toEqual([200, 4_194_304]);
      expect(errorOf(await ask(`/v2/sized/manifests/${sized(4 * 2 ** 20 + 1)}`))).toEqual([502, 'UNKNOWN']);
    });

    it('A49: bytes that are not the digest are refused and not kept', async () => {
      const { root } = image('wrong');
      upstream.faults.add({ path: /wrong\/manifests/, flip: 5, times: 1 });
      expect((await ask(`/v2/wrong/manifests/${root.digest}`)).status).toBe(502);
      expect((await ask(`/v2/wrong/manifests/${root.digest}`)).body.equals(root.bytes)).toBe(true);
    });

    it('A51, A52: an index is served without its children, and those that are gone are 404', async () => {
      const { root, images } = upstream.addImage({
        repository: 'index',
        tag: 'v1',
        platforms: ['linux/amd64', 'unknown/unknown'],
      });
      expect((await ask('/v2/index/manifests/v1')).body.equals(root.bytes)).toBe(true);
      expect((await ask(`/v2/index/manifests/${images[1]!.digest}`)).body.equals(images[1]!.bytes)).toBe(true);
      upstream.faults.add({ path: new RegExp(images[0]!.digest), status: 404 });
      expect(errorOf(await ask(`/v2/index/manifests/${images[0]!.digest}`))).toEqual([404, 'MANIFEST_UNKNOWN']);
    });

    it('A55, A61: a blob is no manifest, and signature tags that are not there are 404', async () => {
      const { digest } = blob('kinds');
      const targets = [digest, `sha256-${digest.slice(7)}`, `sha256-${digest.slice(7)}.sig`];
      for (const reference of targets) {
        expect(errorOf(await ask(`/v2/kinds/manifests/${reference}`))).toEqual([404, 'MANIFEST_UNKNOWN']);
      }
    });

    it('A56: a range of a manifest is all of it', async () => {
      const { root } = image('ranged');
      const answer = await ask('/v2/ranged/manifests/v1', ['Range: bytes=0-1']);
      expect([answer.status, answer.body.equals(root.bytes)]).toEqual([200, true]);
    });

    it('A57: If-None-Match in every spelling', async () => {
      const { root } = image('known');
      const { digest } = blob('known');
      for (const [target, known] of [
        ['/v2/known/manifests/v1', root.digest],
        [`/v2/known/manifests/${root.digest}`, root.digest],
        [`/v2/known/blobs/${digest}`, digest],
      ] as const) {
        for (const value of [`"${known}"`, `W/"${known}"`, known, '*', `"x", "${known}"`]) {
          expect([value, (await ask(target, [`If-None-Match: ${value}`])).status]).toEqual([value, 304]);
          expect((await head(target, [`If-None-Match: ${value}`])).status).toBe(304);
        }
        for (const value of ['"x"', `"${absent}"`, '']) {
          expect([value, (await ask(target, [`If-None-Match: ${value}`])).status]).toEqual([value, 200]);
        }
      }
    });

    it('A60: a digest is there without any tag', async () => {
      const { root } = image('untagged');
      expect((await ask('/v2/untagged/manifests/v1')).status).toBe(200);
      upstream.content.removeTag('untagged', 'v1');
      upstream.faults.add({ path: /untagged/, status: 404 });
      expect((await ask(`/v2/untagged/manifests/${root.digest}`)).status).toBe(200);
    });

    it('A9: Authorization goes nowhere', async () => {
      image('anonymous');
      upstream.requests.clear();
      expect((await ask('/v2/anonymous/manifests/v1', ['Authorization: Bearer geheim'])).status).toBe(200);
      expect([...upstream.requests].map(({ headers }) => headers.authorization)).not.toContain('Bearer geheim');
      for (const server of system.gateways) expect(server.log).not.toContain('geheim');
    });
  });

  describe('blobs', () => {
    const sizes = 3000;
    const table: [string, string | undefined, number, string | undefined, [number, number]][] = [
      ['A62: none', undefined, 200, undefined, [0, sizes]],
      ['A66', 'bytes=500-1499', 206, `bytes 500-1499/${sizes}`, [500, 1500]],
      ['A67', 'bytes=500-', 206, `bytes 500-2999/${sizes}`, [500, sizes]],
      ['A67', 'bytes=-500', 206, `bytes 2500-2999/${sizes}`, [2500, sizes]],
      ['A68', 'bytes=2000-99999', 206, `bytes 2000-2999/${sizes}`, [2000, sizes]],
      ['A68', 'bytes=-99999', 206, `bytes 0-2999/${sizes}`, [0, sizes]],
      ['A71', 'bytes=0-', 206, `bytes 0-2999/${sizes}`, [0, sizes]],
      ['A79', 'bytes=0-0', 206, `bytes 0-0/${sizes}`, [0, 1]],
      ['A79', 'bytes=0-1', 206, `bytes 0-1/${sizes}`, [0, 2]],
      ['A69', `bytes=${sizes}-`, 416, `bytes */${sizes}`, [0, 0]],
      ['A69', 'bytes=500-0', 416, `bytes */${sizes}`, [0, 0]],
      ['A69', 'bytes=-0', 416, `bytes */${sizes}`, [0, 0]],
      ['A74', 'bytes=a-b', 200, undefined, [0, sizes]],
      ['A74', 'bytes=1', 200, undefined, [0, sizes]],
      ['A74', 'items=0-1', 200, undefined, [0, sizes]],
      ['A75', 'bytes=0-1,5-6', 400, undefined, [0, 0]],
    ];

    it.each(table)('%s: Range: %s, cold and warm', async (_, range, status, content, [start, end]) => {
      // A blob of its own, so that its first answer is a cold one.
      const source = blob('ranges', sizes, 100 + table.findIndex((row) => row[1] === range));
      for (let round = 0; round < 2; round++) {
        const answer = await ask(`/v2/ranges/blobs/${source.digest}`, range ? [`Range: ${range}`] : []);
        expect([answer.status, answer.header('content-range')]).toEqual([status, content]);
        if (status < 300) expect(answer.body.equals(bytesOf(source).subarray(start, end))).toBe(true);
        else expect(errorOf(answer)).toEqual([status, 'UNSUPPORTED']);
        // A73
        const bare = await head(`/v2/ranges/blobs/${source.digest}`, range ? [`Range: ${range}`] : []);
        expect([bare.status, bare.header('content-length')]).toEqual([200, String(sizes)]);
      }
    });

    it('A75, A76: 1,024 ranges in 20 KB of headers are refused as what they are', async () => {
      const { digest } = blob('ranges');
      const ranges = Array.from({ length: 1024 }, (_, n) => `${n * 1_000_000}-${n * 1_000_000 + 5}`).join(',');
      expect(errorOf(await ask(`/v2/ranges/blobs/${digest}`, [`Range: bytes=${ranges}`]))).toEqual([
        400,
        'UNSUPPORTED',
      ]);
    });

    it('A77: If-Range', async () => {
      const { digest } = blob('ranges');
      const ask206 = async (condition: string) =>
        (await ask(`/v2/ranges/blobs/${digest}`, ['Range: bytes=0-9', `If-Range: ${condition}`])).status;
      expect(await ask206(`"${digest}"`)).toBe(206);
      for (const other of [`W/"${digest}"`, `"${absent}"`, 'Tue, 24 Nov 2026 00:00:00 GMT']) {
        expect(await ask206(other)).toBe(200);
      }
    });

    it('A64, A82: a blob needs no manifest, and one that is not there is 404', async () => {
      const source = blob('alone', 100, 3);
      expect((await ask(`/v2/alone/blobs/${source.digest}`)).body.equals(bytesOf(source))).toBe(true);
      expect(errorOf(await ask(`/v2/alone/blobs/${absent}`))).toEqual([404, 'BLOB_UNKNOWN']);
      expect((await head(`/v2/alone/blobs/${absent}`)).status).toBe(404);
    });

    it('A65: a gzip layer stays compressed, whatever is accepted', async () => {
      const layer = image('zipped').images[0]!.layers[0]!;
      const answer = await ask(`/v2/zipped/blobs/${layer.digest}`, ['Accept-Encoding: gzip, zstd, br']);
      expect([answer.header('content-encoding'), answer.body.equals(bytesOf(layer))]).toEqual([undefined, true]);
    });

    it('A81: nothing is 200 with length 0, and every range of it 416', async () => {
      const { digest } = upstream.addBlob('empty', Buffer.alloc(0));
      for (let round = 0; round < 2; round++) {
        const answer = await ask(`/v2/empty/blobs/${digest}`);
        expect([answer.status, answer.header('content-length')]).toEqual([200, '0']);
        expect((await ask(`/v2/empty/blobs/${digest}`, ['Range: bytes=0-'])).status).toBe(416);
        expect((await head(`/v2/empty/blobs/${digest}`)).header('content-length')).toBe('0');
      }
    });

    it('A83: sha512 is verified with sha512', async () => {
      const bytes = randomBytes(5000, 9);
      const digest = `sha512:${createHash('sha512').update(bytes).digest('hex')}`;
      upstream.addBlob('long', bytesSource(bytes, digest));
      upstream.faults.add({ path: /long\/blobs/, method: 'GET', flip: 4000, times: 1 });
      expect((await ask(`/v2/long/blobs/${digest}`)).status).toBe(502);
      for (let round = 0; round < 2; round++) {
        const answer = await ask(`/v2/long/blobs/${digest}`);
        expect([answer.status, answer.header('docker-content-digest'), answer.body.equals(bytes)]).toEqual([
          200,
          digest,
          true,
        ]);
      }
      const manifest = Buffer.from('{"schemaVersion":2,"sha":512}');
      const named = `sha512:${createHash('sha512').update(manifest).digest('hex')}`;
      upstream.content.addManifest('long', { mediaType: MEDIA_TYPES.oci.manifest, digest: named, bytes: manifest });
      expect((await ask(`/v2/long/manifests/${named}`)).header('etag')).toBe(`"${named}"`);
    });

    it('A86: the urls of foreign layers are never followed', async () => {
      const trap = await startFakeUpstream();
      const foreign = {
        mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
        digest: absent,
        size: 5,
        urls: [`${trap.url}/layer`],
      };
      const document = made(MEDIA_TYPES.docker.manifest, { schemaVersion: 2, config: {}, layers: [foreign] });
      upstream.content.addManifest('foreign', document, 'v1');
      expect((await ask('/v2/foreign/manifests/v1')).body.equals(document.bytes)).toBe(true);
      expect(errorOf(await ask(`/v2/foreign/blobs/${absent}`))).toEqual([404, 'BLOB_UNKNOWN']);
      expect(trap.requests.length).toBe(0);
      await trap.stop();
    });
  });

  describe('errors (A94)', () => {
    /** What is asked of each endpoint that asks an upstream. */
    const targets = (host: string, digest = absent): [string, string][] =>
      ['manifests/v1', `blobs/${digest}`, 'tags/list', `referrers/${digest}`].map((rest) => [
        rest.split('/', 1)[0]!,
        `/v2/${host}/errors/${rest}`,
      ]);

    const everywhere = async (host: string, want: [number, string], retry?: RegExp) => {
      for (const [kind, target] of targets(host)) {
        const answer = await ask(target);
        expect([kind, ...errorOf(answer)]).toEqual([kind, ...want]);
        if (retry) expect(answer.header('retry-after')).toMatch(retry);
        expect(answer.body.toString()).not.toMatch(/127\.0\.0\.1|node_modules|at \w+ \(|https?:/);
        expect((await head(target)).status).toBe(want[0]);
      }
    };

    it('cold: the upstream refuses (403)', async () => {
      upstream.faults.add({ path: /errors/, status: 403 });
      await everywhere(upstream.host, [403, 'DENIED']);
    });

    it('cold: nothing is there (404)', async () => {
      upstream.faults.add({ path: /errors2/, status: 404 });
      for (const [kind, target] of targets(upstream.host)) {
        const answer = await ask(target.replace('errors', 'errors2'));
        if (kind === 'referrers') expect([kind, answer.status]).toEqual([kind, 200]);
        else expect(answer.status).toBe(404);
        expect((await head(target.replace('errors', 'errors2'))).status).toBe(answer.status);
      }
      expect(errorOf(await ask(`/v2/unlisted.example/a/referrers/${absent}`))).toEqual([404, 'NAME_UNKNOWN']);
      expect((await head(`/v2/unlisted.example/a/referrers/${absent}`)).status).toBe(404);
      for (const target of ['/v2/_catalog?ns=unlisted.example', '/v2/unlisted.example/a/tags/list']) {
        expect(errorOf(await ask(target))).toEqual([404, 'NAME_UNKNOWN']);
        expect((await head(target)).status).toBe(404);
      }
    });

    it('cold: the upstream limits (429)', () => everywhere(limiting.host, [429, 'TOOMANYREQUESTS'], /^[1-9]$/));

    it('cold: the upstream fails (502), then rests (503)', async () => {
      for (const [kind, target] of targets(upstream.host)) {
        upstream.faults.add({ path: new RegExp(`errors3/${kind}`), status: 500, times: 2 });
        const failing = target.replace('errors', 'errors3');
        expect([kind, ...errorOf(await ask(failing))]).toEqual([kind, 502, 'UNKNOWN']);
        expect((await head(failing)).status).toBe(502);
        // An answer in between, so that its breaker does not open.
        await ask(`/v2/errors4/manifests/${kind}`);
      }
      // Every puller has a breaker of its own.
      for (let n = 0; n < 12; n++) await ask(`/v2/${resting.host}/errors/manifests/open${n}`);
      await everywhere(resting.host, [503, 'UNAVAILABLE'], /^[1-9]\d*$/);
    });

    it('cold: the upstream does not answer (504)', async () => {
      const all = targets(hanging.host).flatMap(([kind, target]) => [
        ask(target).then((answer) => expect([kind, ...errorOf(answer)]).toEqual([kind, 504, 'UNKNOWN'])),
        head(target).then(({ status }) => expect([kind, status]).toEqual([kind, 504])),
      ]);
      await Promise.all(all);
    });

    it('a request that has passed too many caches (508)', async () => {
      const via = [`Via: ${Array.from({ length: 20 }, (_, n) => `1.1 cache${n}`).join(', ')}`];
      for (const target of [...targets(upstream.host).map(([, target]) => target), '/v2/', '/v2/_catalog']) {
        expect(errorOf(await ask(target, via))).toEqual([508, 'UNSUPPORTED']);
        expect((await head(target, via)).status).toBe(508);
      }
    });

    it('bad input (400) is refused before anybody is called', async () => {
      upstream.requests.clear();
      for (const [target, code] of [
        ['/v2/Bad/manifests/v1', 'NAME_INVALID'],
        ['/v2/a/manifests/-bad', 'MANIFEST_INVALID'],
        ['/v2/a/blobs/sha256:00', 'DIGEST_INVALID'],
        ['/v2/a/referrers/sha256:00', 'DIGEST_INVALID'],
        ['/v2/a/tags/list?n=-1', 'PAGINATION_NUMBER_INVALID'],
        ['/v2/_catalog?n=x', 'PAGINATION_NUMBER_INVALID'],
      ] as const) {
        expect(errorOf(await ask(target))).toEqual([400, code]);
        expect((await head(target)).status).toBe(400);
      }
      expect(upstream.requests.length).toBe(0);
    });

    it('warm: content by digest needs nobody, whatever the upstream does', async () => {
      const { root, images } = image('warm');
      const { digest } = images[0]!.layers[0]!;
      const warm = ['/v2/warm/manifests/v1', `/v2/warm/manifests/${root.digest}`, `/v2/warm/blobs/${digest}`];
      for (const target of [...warm, '/v2/warm/tags/list', `/v2/warm/referrers/${root.digest}`]) {
        expect((await ask(target)).status).toBe(200);
      }
      for (const fault of [{ status: 403 }, { status: 404 }, { status: 500 }, { reset: true }, { html: true }]) {
        upstream.faults.clear();
        upstream.faults.add({ path: /warm/, ...fault });
        for (const target of warm.slice(1)) expect((await ask(target)).status).toBe(200);
      }
      upstream.faults.clear();
      upstream.faults.add({ path: /warm/, status: 500 });
      for (const target of [warm[0]!, '/v2/warm/tags/list', `/v2/warm/referrers/${root.digest}`]) {
        const answer = await ask(target);
        expect([target, answer.status, answer.header('warning')]).toEqual([
          target,
          200,
          expect.stringMatching(/^299 - "/),
        ]);
      }
    });
  });

  describe('methods, bodies and connections', () => {
    it.each(['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND'])('A114: %s is 405 below /v2/', async (method) => {
      upstream.requests.clear();
      for (const target of ['/v2/', '/v2/a/manifests/v1', '/v2/a/blobs/uploads/', '/v2/A/%00']) {
        const answer = await ask(target, [], method);
        expect([...errorOf(answer), answer.header('allow')]).toEqual([405, 'UNSUPPORTED', 'GET, HEAD']);
      }
      const elsewhere = await raw(base, '/a', { method });
      expect([...errorOf(elsewhere), elsewhere.header('allow')]).toEqual([404, 'UNSUPPORTED', undefined]);
      expect(upstream.requests.length).toBe(0);
    });

    it.each([
      '/',
      '/v1/',
      '/v3/',
      '/v2x/',
      '/v2/a',
      '/v2/a/manifests',
      '/v2/a/tags/other',
      '/v2/_other',
      '/favicon.ico',
    ])('A115: %s is 404 with a JSON body', async (target) => {
      expect(errorOf(await raw(base, target))).toEqual([404, 'UNSUPPORTED']);
    });

    it('A114, A116: bodies of writes and of GETs do not get between the requests of a connection', async () => {
      const connection = await RawConnection.open(base);
      const version = 'GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n';
      const body = 'GET /v2/evil HTTP/1.1\r\nHost: x\r\n\r\n';
      connection.send(
        `PUT /v2/a/manifests/v1 HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}${version}`,
      );
      expect((await connection.answer()).status).toBe(405);
      expect((await connection.answer()).body.toString()).toBe('{}');
      connection.send(`GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}${version}`);
      for (let n = 0; n < 2; n++) expect((await connection.answer()).body.toString()).toBe('{}');
      connection.send(
        `POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n${version}`,
      );
      expect((await connection.answer()).status).toBe(405);
      expect((await connection.answer()).body.toString()).toBe('{}');
      connection.close();
    });

    it('A114: a long body is not read to its end, and nobody is invited to send one', async () => {
      const connection = await RawConnection.open(base);
      connection.send('PUT /v2/a/blobs/uploads/x HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\nabc');
      const answer = await connection.answer();
      expect([answer.status, answer.header('connection')]).toEqual([405, 'close']);
      await connection.closed();
      const polite = await RawConnection.open(base);
      polite.send('PUT /v2/a/manifests/x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n');
      expect((await polite.answer()).status).toBe(405);
      polite.close();
    });

    it('A120: HTTP/1.0 and Connection: close end after the answer', async () => {
      const { root } = image('old');
      for (const request of [
        'GET /v2/old/manifests/v1 HTTP/1.0\r\n\r\n',
        'GET /v2/old/manifests/v1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
      ]) {
        const connection = await RawConnection.open(base);
        connection.send(request);
        const answer = await connection.answer();
        expect([answer.status, answer.body.equals(root.bytes)]).toEqual([200, true]);
        expect((await connection.closed()).length).toBe(0);
      }
      const blob = root === undefined ? absent : image('old').images[0]!.layers[0]!.digest;
      const kept = await RawConnection.open(base);
      kept.send(`GET /v2/old/blobs/${blob} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n`);
      expect((await kept.answer()).status).toBe(200);
      kept.send('GET /v2/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
      expect((await kept.answer()).body.toString()).toBe('{}');
      kept.close();
    });

    it('requests may come before the answers to those before them', async () => {
      const { root } = image('piped');
      const connection = await RawConnection.open(base);
      const one = (target: string) => `GET ${target} HTTP/1.1\r\nHost: x\r\n\r\n`;
      connection.send(one('/v2/piped/manifests/v1') + one('/v2/') + one('/v2/piped/manifests/none') + one('/v2/'));
      expect((await connection.answer()).body.equals(root.bytes)).toBe(true);
      expect((await connection.answer()).body.toString()).toBe('{}');
      expect((await connection.answer()).status).toBe(404);
      expect((await connection.answer()).body.toString()).toBe('{}');
      connection.close();
    });
  });

  it('docs/api/registry.yaml says all of this and nothing else', () => {
    expect(problems).toEqual([]);
    expect(check.unseen()).toEqual([]);
  });
});
