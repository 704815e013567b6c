import { Deferred } from '#async';
import { type Answer, digestOfBody, get } from '../support/client.js';
import { eventually } from '../support/eventually.js';
import { type Installation, install, stacks } from '../support/servers.js';
import { type FakeUpstream, startFakeUpstream } from '../support/upstream/index.js';

jest.setTimeout(240_000);

const SIZE = 300_000;

describe.each(stacks())('fairness on the %s stack', (name) => {
  let hanging: FakeUpstream;
  let good: FakeUpstream;
  let system: Installation;

  beforeAll(async () => {
    [hanging, good] = await Promise.all([startFakeUpstream(), startFakeUpstream()]);
    system = await install(name, [hanging.host, good.host], { workers: 2, prefetch: { referrers: true } });
  });
  afterAll(async () => {
    await system?.stop();
    await Promise.all([hanging?.stop(), good?.stop()]);
  });

  const url = (upstream: FakeUpstream, rest: string, gateway = 0) =>
    `${system.gateways[gateway % system.gateways.length]!.url}/v2/${upstream.host}/${rest}`;

  it('an upstream that hangs keeps no slot from the pulls of another', async () => {
    const gate = new Deferred();
    hanging.faults.add({ path: /blobs/, stall: { at: 1000, open: gate.promise } });
    const stuck = Array.from({ length: 20 }, (_, n) => hanging.addBlob('slow', { size: SIZE, seed: 100 + n }));
    let ended = 0;
    const waiting = stuck.map(({ digest }, n) =>
      get(url(hanging, `slow/blobs/${digest}`, n)).finally(() => {
        ended++;
      }),
    );
    await eventually(async () => expect(hanging.requests.gets(/blobs/)).toBeGreaterThanOrEqual(2));
    for (let n = 0; n < 5; n++) {
      const { digest } = good.addBlob('quick', { size: SIZE, seed: n });
      const answer = await get(url(good, `quick/blobs/${digest}`, n));
      expect([answer.status, digestOfBody(answer.body)]).toEqual([200, digest]);
    }
    expect(ended).toBe(0);
    hanging.faults.clear();
    gate.resolve();
    const answers: Answer[] = await Promise.all(waiting);
    expect(answers.map(({ status, body }) => [status, digestOfBody(body)])).toEqual(
      stuck.map(({ digest }) => [200, digest]),
    );
  });

  it('what a client asks for goes before what was queued ahead of it in the background', async () => {
    const layers = Array.from({ length: 40 }, () => 20_000);
    const { images } = good.addImage({ repository: 'wide', tag: 'v1', layers, seed: 9 });
    const last = images[0]!.layers.at(-1)!;
    const others = images[0]!.layers.slice(0, -1);
    const gate = new Deferred();
    good.faults.add({ path: new RegExp(others.map(({ digest }) => digest).join('|')), gate: gate.promise });
    expect((await get(url(good, 'wide/manifests/v1'))).status).toBe(200);
    const begun = () => others.filter(({ digest }) => good.requests.gets(new RegExp(digest)) > 0).length;
    await eventually(async () => expect(begun()).toBeGreaterThan(0));
    const answer = await get(url(good, `wide/blobs/${last.digest}`, 1));
    expect([answer.status, digestOfBody(answer.body)]).toEqual([200, last.digest]);
    // Most of what was queued before it has not begun yet.
    expect(begun()).toBeLessThan(others.length / 2);
    gate.resolve();
    good.faults.clear();
    await eventually(async () => expect(begun()).toBe(others.length), 60_000);
    for (const { digest } of [...others, last]) expect(good.requests.gets(new RegExp(digest))).toBe(1);
  });

  it('prefetches what refers to an image where that is wanted, and its blobs', async () => {
    const { root } = good.addImage({ repository: 'signed', tag: 'v1' });
    const layer = good.addBlob('signed', { size: 5_000, seed: 77 });
    const config = good.addBlob('signed', Buffer.from('{}'));
    const bytes = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        artifactType: 'application/vnd.example.signature',
        config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: config.digest, size: 2 },
        layers: [{ mediaType: 'application/octet-stream', digest: layer.digest, size: 5_000 }],
        subject: { mediaType: root.mediaType, digest: root.digest, size: root.bytes.length },
      }),
    );
    const signature = digestOfBody(bytes);
    good.content.addManifest('signed', {
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      digest: signature,
      bytes,
    });
    expect((await get(url(good, 'signed/manifests/v1'))).status).toBe(200);
    const parts = [signature, layer.digest, config.digest];
    await eventually(async () => {
      for (const digest of parts) expect(good.requests.gets(new RegExp(`s/${digest}`))).toBe(1);
    });
  });
});
