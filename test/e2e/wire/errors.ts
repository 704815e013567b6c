import { absent, type Wire } from './wire.js';

/** Every row of the error table, with nothing cached and with all of it. */
export function errors(wire: Wire): void {
  const { ask, head, errorOf, image } = wire;

  describe('errors (A94)', () => {
    /** What is asked of each endpoint that asks an wire.upstream. */
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
      wire.upstream.faults.add({ path: /errors/, status: 403 });
      await everywhere(wire.upstream.host, [403, 'DENIED']);
    });

    it('cold: nothing is there (404)', async () => {
      wire.upstream.faults.add({ path: /errors2/, status: 404 });
      for (const [kind, target] of targets(wire.upstream.host)) {
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

    it('cold: the upstream limits (429)', () => everywhere(wire.limiting.host, [429, 'TOOMANYREQUESTS'], /^[1-9]$/));

    it('cold: the upstream fails (502), then rests (503)', async () => {
      for (const [kind, target] of targets(wire.upstream.host)) {
        wire.upstream.faults.add({ path: new RegExp(`errors3/${kind}`), status: 500, times: 2 });
        const failing = target.replace('errors', 'errors3');
        expect([kind, ...errorOf(await ask(failing))]).toEqual([kind, 502, 'UNKNOWN']);
        expect((await head(failing)).status).toBe(502);
        // An answer in between, so that its breaker does not open.
        await ask(`/v2/errors4/manifests/${kind}`);
      }
      // Every puller has a breaker of its own.
      for (let n = 0; n < 12; n++) await ask(`/v2/${wire.resting.host}/errors/manifests/open${n}`);
      await everywhere(wire.resting.host, [503, 'UNAVAILABLE'], /^[1-9]\d*$/);
    });

    it('cold: the upstream does not answer (504)', async () => {
      const all = targets(wire.hanging.host).flatMap(([kind, target]) => [
        ask(target).then((answer) => expect([kind, ...errorOf(answer)]).toEqual([kind, 504, 'UNKNOWN'])),
        head(target).then(({ status }) => expect([kind, status]).toEqual([kind, 504])),
      ]);
      await Promise.all(all);
    });

    it('a request that has passed too many caches (508)', async () => {
      const via = [`Via: ${Array.from({ length: 20 }, (_, n) => `1.1 cache${n}`).join(', ')}`];
      for (const target of [...targets(wire.upstream.host).map(([, target]) => target), '/v2/', '/v2/_catalog']) {
        expect(errorOf(await ask(target, via))).toEqual([508, 'UNSUPPORTED']);
        expect((await head(target, via)).status).toBe(508);
      }
    });

    it('bad input (400) is refused before anybody is called', async () => {
      wire.upstream.requests.clear();
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
      expect(wire.upstream.requests.length).toBe(0);
    });

    it('warm: content by digest needs nobody, whatever the upstream does', async () => {
      const { root, images } = image('warm');
      const { digest } = images[0]!.layers[0]!;
      const warm = ['/v2/warm/manifests/v1', `/v2/warm/manifests/${root.digest}`, `/v2/warm/blobs/${digest}`];
      for (const target of [...warm, '/v2/warm/tags/list', `/v2/warm/referrers/${root.digest}`]) {
        expect((await ask(target)).status).toBe(200);
      }
      for (const fault of [{ status: 403 }, { status: 404 }, { status: 500 }, { reset: true }, { html: true }]) {
        wire.upstream.faults.clear();
        wire.upstream.faults.add({ path: /warm/, ...fault });
        for (const target of warm.slice(1)) expect((await ask(target)).status).toBe(200);
      }
      wire.upstream.faults.clear();
      wire.upstream.faults.add({ path: /warm/, status: 500 });
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
}
