import { eventually } from '../../support/eventually.js';
import { raw } from '../../support/raw.js';
import type { Fault } from '../../support/upstream/faults.js';
import { absent, INDEX, type Wire } from './wire.js';

/** A look at a tag that is not cached is no pull of it. */
export function heads(wire: Wire): void {
  const { ask, head, headersOf, image } = wire;
  const asked = () => [wire.upstream.requests.heads(/manifests/), wire.upstream.requests.gets(/manifests/)];

  describe('HEAD of a tag that is not cached', () => {
    it('A54, A40: is a HEAD upstream, says what GET says, and leaves the fetching to a GET', async () => {
      const { root } = image('looked');
      wire.upstream.requests.clear();
      const bare = await head('/v2/looked/manifests/v1');
      expect([bare.status, bare.header('docker-content-digest'), asked()]).toEqual([200, root.digest, [1, 0]]);
      const known = await head('/v2/looked/manifests/v1', [`If-None-Match: "${root.digest}"`]);
      expect([known.status, asked()]).toEqual([304, [2, 0]]);
      const whole = await ask('/v2/looked/manifests/v1');
      expect([whole.body.equals(root.bytes), headersOf(whole)]).toEqual([true, headersOf(bare)]);
      expect(asked()).toEqual([2, 1]);
    });

    it('A54: a manifest that is asked by its digest after that is known by the tag as well, at every gateway', async () => {
      const { root } = image('looked-then');
      wire.upstream.requests.clear();
      expect((await head('/v2/looked-then/manifests/v1')).header('docker-content-digest')).toBe(root.digest);
      expect((await ask(`/v2/looked-then/manifests/${root.digest}`)).body.equals(root.bytes)).toBe(true);
      expect(asked()).toEqual([1, 1]);
      wire.upstream.faults.add({ path: /looked-then/, status: 500 });
      for (const { url } of wire.system.gateways) {
        const answer = await raw(url, '/v2/looked-then/manifests/v1');
        expect([answer.status, answer.header('warning')]).toEqual([200, expect.stringMatching(/^299 - "/)]);
        expect(answer.body.equals(root.bytes)).toBe(true);
      }
    });

    it('A54: of a manifest that is here by another name asks for no bytes either', async () => {
      const { root } = image('renamed');
      expect((await ask('/v2/renamed/manifests/v1')).status).toBe(200);
      wire.upstream.content.tag('renamed', 'v2', root.digest);
      wire.upstream.requests.clear();
      expect((await head('/v2/renamed/manifests/v2')).header('docker-content-digest')).toBe(root.digest);
      expect(asked()).toEqual([1, 0]);
      wire.upstream.faults.add({ path: /renamed/, status: 500 });
      expect((await ask('/v2/renamed/manifests/v2')).body.equals(root.bytes)).toBe(true);
    });

    it.each<[string, Fault]>([
      ['B27: HEAD is not known', { noHead: true }],
      ['B28: HEAD names no digest', { digest: null }],
      ['HEAD tells no length', { method: 'HEAD', headers: { 'content-length': undefined } }],
      ['HEAD tells no type', { contentType: null }],
      ['HEAD tells the length of an encoding', { gzip: true }],
    ])('A54: %s: the manifest is fetched, once', async (what, fault) => {
      const repository = `fallback/${what.replace(/\W+/g, '-').toLowerCase()}`;
      const { root } = image(repository);
      wire.upstream.faults.add({ path: /fallback/, ...fault });
      wire.upstream.requests.clear();
      const bare = await head(`/v2/${repository}/manifests/v1`);
      expect([bare.status, ...['content-type', 'content-length', 'docker-content-digest'].map(bare.header)]).toEqual([
        200,
        root.mediaType,
        String(root.size),
        root.digest,
      ]);
      expect((await ask(`/v2/${repository}/manifests/${root.digest}`)).body.equals(root.bytes)).toBe(true);
      expect(wire.upstream.requests.gets(/manifests/)).toBe(1);
    });

    it('A54: fifty at once, at every gateway, are one; an index is one too', async () => {
      const { root } = wire.upstream.addImage({ repository: 'crowd', tag: 'v1', platforms: ['a/b', 'c/d'] });
      wire.upstream.requests.clear();
      wire.upstream.faults.add({ path: /crowd/, delay: 300 });
      const answers = await Promise.all(
        Array.from({ length: 50 }, (_, n) => {
          const { url } = wire.system.gateways[n % wire.system.gateways.length]!;
          return raw(url, '/v2/crowd/manifests/v1', { method: 'HEAD' });
        }),
      );
      for (const answer of answers)
        expect([answer.status, answer.header('content-type'), answer.header('docker-content-digest')]).toEqual([
          200,
          INDEX,
          root.digest,
        ]);
      expect(asked()).toEqual([1, 0]);
    });

    it('A54: of a tag that is not there is 404, and of one that comes is 200 soon', async () => {
      wire.upstream.addImage({ repository: 'coming', tag: 'v0' });
      wire.upstream.requests.clear();
      expect((await head('/v2/coming/manifests/v1')).status).toBe(404);
      expect((await head(`/v2/coming/manifests/${absent}`)).status).toBe(404);
      expect(asked()).toEqual([1, 1]);
      image('coming');
      await eventually(async () => expect((await head('/v2/coming/manifests/v1')).status).toBe(200));
    });
  });
}
