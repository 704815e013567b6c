import { createHash } from 'node:crypto';
import { bytesSource, MEDIA_TYPES, made, randomBytes, startFakeUpstream } from '../../support/upstream/index.js';
import { absent, type Wire } from './wire.js';

/** Blobs, whole and in ranges. */
export function blobs(wire: Wire): void {
  const { ask, head, errorOf, bytesOf, image, blob } = wire;

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

    it('A85: one blob that is asked for many times at once is fetched once', async () => {
      const layer = blob('twice', 50_000, 44);
      const doubled = made(MEDIA_TYPES.oci.manifest, {
        schemaVersion: 2,
        config: {},
        layers: [layer, layer].map(({ digest, size }) => ({ mediaType: 'a/b', digest, size })),
      });
      wire.upstream.content.addManifest('twice', doubled, 'v1');
      expect((await ask('/v2/twice/manifests/v1')).body.equals(doubled.bytes)).toBe(true);
      const answers = await Promise.all(Array.from({ length: 8 }, () => ask(`/v2/twice/blobs/${layer.digest}`)));
      for (const answer of answers) expect(answer.body.equals(bytesOf(layer))).toBe(true);
      expect(wire.upstream.requests.gets(/twice\/blobs/)).toBe(1);
    });

    it('A89: bytes come from here and nobody is sent elsewhere, cold and warm', async () => {
      const { digest } = blob('here', 100_000, 45);
      for (const [headers, method, status] of [
        [['Range: bytes=5-9'], 'GET', 206],
        [[], 'GET', 200],
        [[], 'HEAD', 200],
        [['Range: bytes=5-9'], 'GET', 206],
        [[], 'GET', 200],
      ] as const) {
        const answer = await ask(`/v2/here/blobs/${digest}`, headers, method);
        expect([answer.status, answer.header('location')]).toEqual([status, undefined]);
      }
    });

    it('A70: the total of every range is a number, cold, while it arrives and when it is here', async () => {
      const source = blob('totals', 300_000, 46);
      wire.upstream.faults.add({ path: /totals/, noLength: true });
      for (const range of ['bytes=0-9', 'bytes=299990-', 'bytes=-10', 'bytes=0-9']) {
        const answer = await ask(`/v2/totals/blobs/${source.digest}`, [`Range: ${range}`]);
        expect([answer.status, answer.header('content-range')]).toEqual([
          206,
          expect.stringMatching(/^bytes \d+-\d+\/300000$/),
        ]);
      }
    });

    it('A81: nothing is 200 with length 0, and every range of it 416', async () => {
      const { digest } = wire.upstream.addBlob('empty', Buffer.alloc(0));
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
      wire.upstream.addBlob('long', bytesSource(bytes, digest));
      wire.upstream.faults.add({ path: /long\/blobs/, method: 'GET', flip: 4000, times: 1 });
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
      wire.upstream.content.addManifest('long', {
        mediaType: MEDIA_TYPES.oci.manifest,
        digest: named,
        bytes: manifest,
      });
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
      wire.upstream.content.addManifest('foreign', document, 'v1');
      expect((await ask('/v2/foreign/manifests/v1')).body.equals(document.bytes)).toBe(true);
      expect(errorOf(await ask(`/v2/foreign/blobs/${absent}`))).toEqual([404, 'BLOB_UNKNOWN']);
      expect(trap.requests.length).toBe(0);
      await trap.stop();
    });
  });
}
