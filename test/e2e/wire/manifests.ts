import { createHash } from 'node:crypto';
import { eventually } from '../../support/eventually.js';
import { MEDIA_TYPES } from '../../support/upstream/index.js';
import { absent, INDEX, type Wire } from './wire.js';

/** Manifests as every client asks for them. */
export function manifests(wire: Wire): void {
  const { ask, head, errorOf, image, blob } = wire;

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
      const { root } = wire.upstream.addImage({
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
      wire.upstream.content.addManifest('typed', { mediaType, digest, bytes }, 'odd');
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
        wire.upstream.content.addManifest('sized', { mediaType: MEDIA_TYPES.oci.manifest, digest, bytes });
        return digest;
      };
      const largest = await ask(`/v2/sized/manifests/${sized(4 * 2 ** 20)}`);
      expect([largest.status, largest.body.length]).toEqual([200, 4_194_304]);
      expect(errorOf(await ask(`/v2/sized/manifests/${sized(4 * 2 ** 20 + 1)}`))).toEqual([502, 'UNKNOWN']);
    });

    it('A49: bytes that are not the digest are refused and not kept', async () => {
      const { root } = image('wrong');
      wire.upstream.faults.add({ path: /wrong\/manifests/, flip: 5, times: 1 });
      expect((await ask(`/v2/wrong/manifests/${root.digest}`)).status).toBe(502);
      expect((await ask(`/v2/wrong/manifests/${root.digest}`)).body.equals(root.bytes)).toBe(true);
    });

    it('A51, A52: an index is served without its children, and those that are gone are 404', async () => {
      const { root, images } = wire.upstream.addImage({
        repository: 'index',
        tag: 'v1',
        platforms: ['linux/amd64', 'unknown/unknown'],
      });
      expect((await ask('/v2/index/manifests/v1')).body.equals(root.bytes)).toBe(true);
      expect((await ask(`/v2/index/manifests/${images[1]!.digest}`)).body.equals(images[1]!.bytes)).toBe(true);
      wire.upstream.faults.add({ path: new RegExp(images[0]!.digest), status: 404 });
      expect(errorOf(await ask(`/v2/index/manifests/${images[0]!.digest}`))).toEqual([404, 'MANIFEST_UNKNOWN']);
    });

    it('A53: a manifest is answered while its layers cannot be had, by tag, by digest and by HEAD', async () => {
      const { root } = image('early');
      wire.upstream.faults.add({ path: /early\/blobs/, hang: true });
      for (const reference of ['v1', root.digest]) {
        expect((await head(`/v2/early/manifests/${reference}`)).header('docker-content-digest')).toBe(root.digest);
        expect((await ask(`/v2/early/manifests/${reference}`)).body.equals(root.bytes)).toBe(true);
      }
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
      wire.upstream.content.removeTag('untagged', 'v1');
      wire.upstream.faults.add({ path: /untagged/, status: 404 });
      // A machine that is too slow for the upstream's word within its bound serves the cached one, with a Warning.
      await eventually(async () => expect((await ask('/v2/untagged/manifests/v1')).status).toBe(404));
      expect((await ask(`/v2/untagged/manifests/${root.digest}`)).status).toBe(200);
    });

    it('A9: Authorization goes nowhere', async () => {
      image('anonymous');
      wire.upstream.requests.clear();
      expect((await ask('/v2/anonymous/manifests/v1', ['Authorization: Bearer geheim'])).status).toBe(200);
      expect([...wire.upstream.requests].map(({ headers }) => headers.authorization)).not.toContain('Bearer geheim');
      for (const server of wire.system.gateways) expect(server.log).not.toContain('geheim');
    });
  });
}
