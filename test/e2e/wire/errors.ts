import { eventually } from '../../support/eventually.js';
import type { Fault } from '../../support/upstream/faults.js';
import { absent, NOWHERE, type Wire } from './wire.js';

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

    it('A97: cold: the upstream limits (429)', () =>
      everywhere(wire.limiting.host, [429, 'TOOMANYREQUESTS'], /^[1-9]$/));

    it('A97: cold: the upstream fails (502), then rests (503)', async () => {
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
      // It tries again with one request now and then.
      await eventually(() => everywhere(wire.resting.host, [503, 'UNAVAILABLE'], /^[1-9]\d*$/), 60_000);
    });

    it('cold: the upstream does not answer (504)', async () => {
      const all = targets(wire.hanging.host).flatMap(([kind, target]) => [
        ask(target).then((answer) => expect([kind, ...errorOf(answer)]).toEqual([kind, 504, 'UNKNOWN'])),
        head(target).then(({ status }) => expect([kind, status]).toEqual([kind, 504])),
      ]);
      await Promise.all(all);
    });

    it('cold: the upstream has no name, or no TLS (502)', async () => {
      for (const host of [NOWHERE, wire.withoutTls])
        for (const [kind, target] of targets(host).slice(0, 2))
          expect([host, kind, ...errorOf(await ask(target))]).toEqual([host, kind, 502, 'UNKNOWN']);
    });

    it('cold: what the upstream sends is not what was asked for (502)', async () => {
      const { root } = image('other');
      const { digest } = wire.blob('other', 2000, 47);
      wire.upstream.faults.add({ path: /other/, flip: 3 });
      for (const rest of [`manifests/${root.digest}`, `blobs/${digest}`])
        expect([rest, ...errorOf(await ask(`/v2/other/${rest}`))]).toEqual([rest, 502, 'UNKNOWN']);
    });

    it('a write (405) is refused whatever is cached', async () => {
      for (const rest of wire.warmPaths) {
        const answer = await ask(`/v2/warm/${rest}`, [], 'DELETE');
        expect([rest, ...errorOf(answer), answer.header('allow')]).toEqual([rest, 405, 'UNSUPPORTED', 'GET, HEAD']);
      }
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

    const refused: [string, Fault, [number, string]][] = [
      ['nothing is there any more (404)', { status: 404 }, [404, 'UNKNOWN']],
      ['nothing is there any more (410)', { status: 410 }, [404, 'UNKNOWN']],
      ['the upstream wants to know who asks (401)', { status: 401 }, [403, 'DENIED']],
      ['the upstream refuses (403)', { status: 403 }, [403, 'DENIED']],
    ];
    it.each(refused)('warm: %s: that is the answer, and what has a digest is served', async (_, fault, want) => {
      const { repository, changing, fixed } = await cached();
      wire.upstream.faults.add({ path: new RegExp(repository), ...fault });
      for (const rest of fixed) expect((await ask(`/v2/${repository}/${rest}`)).status).toBe(200);
      for (const rest of changing) {
        // Nothing refers to what is nowhere.
        if (rest.startsWith('referrers') && want[0] === 404) continue;
        const [status, code] = errorOf(await ask(`/v2/${repository}/${rest}`));
        expect([rest, status, code]).toEqual([rest, want[0], expect.stringMatching(want[1])]);
        expect((await head(`/v2/${repository}/${rest}`)).status).toBe(want[0]);
      }
    });

    const broken: [string, Fault][] = [
      ['fails (500)', { status: 500 }],
      ['is away (503)', { status: 503 }],
      ['breaks off', { reset: true }],
      ['is a portal that wants a password', { html: true }],
    ];
    it.each(broken)('A98: warm: the upstream %s: what is cached is served, with a Warning', async (_, fault) => {
      const { repository, changing, fixed } = await cached();
      wire.upstream.faults.add({ path: new RegExp(repository), ...fault });
      for (const rest of fixed) await unwarned(`/v2/${repository}/${rest}`);
      for (const rest of changing) {
        await warned(`/v2/${repository}/${rest}`);
        // An answer in between, so that its breaker does not open.
        await ask(`/v2/errors4/manifests/${rest.replace('/', '-').slice(0, 20)}-${repository.replace('/', '-')}`);
      }
    });

    it.each(['limiting', 'resting', 'hanging'] as const)(
      'A98: warm: an upstream that is %s: what is cached is served, with a Warning',
      async (which) => {
        const base = `/v2/${wire[which].host}/warm`;
        for (const rest of wire.warmPaths.slice(wire.changing.length)) await unwarned(`${base}/${rest}`);
        await Promise.all(wire.changing.map((rest) => warned(`${base}/${rest}`)));
      },
    );

    const unwarned = async (target: string) => {
      const answer = await ask(target);
      expect([target, answer.status, answer.header('warning')]).toEqual([target, 200, undefined]);
    };
    const warned = async (target: string) => {
      const answer = await ask(target);
      const warning = expect.stringMatching(/^299 - "[\x20-\x7e]+"$/);
      expect([target, answer.status, answer.header('warning')]).toEqual([target, 200, warning]);
      expect((await head(target)).status).toBe(200);
    };

    let count = 0;
    /** A repository of which everything is in the cache. */
    const cached = async () => {
      const repository = `warm/n${++count}`;
      const { root, images } = image(repository);
      const changing = ['manifests/v1', 'tags/list', `referrers/${root.digest}`];
      const fixed = [`manifests/${root.digest}`, `blobs/${images[0]!.layers[0]!.digest}`];
      for (const rest of [...changing, ...fixed]) expect((await ask(`/v2/${repository}/${rest}`)).status).toBe(200);
      return { repository, changing, fixed };
    };

    it('A96: nothing of what the upstream says beside the content comes through, good or bad', async () => {
      const { root, images } = image('talkative');
      const loud = {
        server: 'inner/1.0',
        'x-powered-by': 'inner',
        'x-amz-request-id': 'inner',
        'set-cookie': 'inner=1',
        via: '1.1 inner',
        link: '<http://inner/>; rel="next"',
      };
      const paths = ['manifests/v1', `blobs/${images[0]!.layers[0]!.digest}`, 'tags/list', `referrers/${root.digest}`];
      const quiet = async (status: number) => {
        for (const rest of paths) {
          const answer = await ask(`/v2/talkative/${rest}`);
          expect([rest, answer.status]).toEqual([rest, status]);
          const all = JSON.stringify([answer.headers, status === 200 ? '' : answer.body.toString()]);
          expect(all).not.toMatch(/inner|secret|x-powered|x-amz|cookie/i);
        }
      };
      wire.upstream.faults.add({
        path: /talkative/,
        headers: loud,
        status: 403,
        body: '{"secret": "at http://inner"}',
      });
      await quiet(403);
      wire.upstream.faults.clear();
      wire.upstream.faults.add({ path: /talkative/, headers: loud });
      // What was refused is forgotten after some seconds.
      await eventually(() => quiet(200));
    });

    it('A97: Retry-After is seconds, also where the upstream tells a date', async () => {
      const date = new Date(Date.now() + 3600_000).toUTCString();
      wire.dated.faults.add({ status: 429, headers: { 'retry-after': date } });
      const answer = await ask(`/v2/${wire.dated.host}/later/manifests/v1`);
      expect([...errorOf(answer), answer.header('retry-after')]).toEqual([
        429,
        'TOOMANYREQUESTS',
        expect.stringMatching(/^3[3-6]\d\d$/),
      ]);
    });
  });
}
