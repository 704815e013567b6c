import { raw } from '../../support/raw.js';
import { INDEX, type Wire } from './wire.js';

const IMMUTABLE = 'max-age=31536000, immutable';
/** Transport headers that every answer of a kept connection has. */
const KEPT = {
  connection: 'keep-alive',
  'keep-alive': 'timeout=130',
  'docker-distribution-api-version': 'registry/2.0',
};

/** The header set of every endpoint, whole. */
export function goldenHeaders(wire: Wire): void {
  const { ask, head, headersOf, image, blob } = wire;

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
        const answer = await ask(`/v2/golden/manifests/${reference}?ns=${wire.upstream.host}`);
        const headers = { ...want, 'cache-control': cache, 'oci-namespace': wire.upstream.host };
        expect([answer.status, headersOf(answer), answer.body.equals(root.bytes)]).toEqual([200, headers, true]);
        expect(headersOf(await head(`/v2/golden/manifests/${reference}?ns=${wire.upstream.host}`))).toEqual(headers);
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
        const answer = await raw(wire.base, target);
        const want = { ...KEPT, 'content-type': 'application/json', 'content-length': String(answer.body.length) };
        expect(headersOf(answer)).toEqual(want);
        expect(headersOf(await raw(wire.base, target, { method: 'HEAD' }))).toEqual(want);
      }
    });
  });
}
