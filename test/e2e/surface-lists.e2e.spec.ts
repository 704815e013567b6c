import { type Answer, get } from '../support/client.js';
import { type Installation, install, stacks } from '../support/servers.js';
import { type FakeUpstream, MEDIA_TYPES, made, startFakeUpstream } from '../support/upstream/index.js';

jest.setTimeout(240_000);

const INDEX = 'application/vnd.oci.image.index.v1+json';
const json = (answer: Answer) => JSON.parse(answer.body.toString());
const errorOf = (answer: Answer) => [answer.status, json(answer).errors[0].code];

describe.each(stacks())('lists on the %s stack', (name) => {
  let upstream: FakeUpstream;
  /** All of its requests rest once it has answered 429. */
  let limiting: FakeUpstream;
  let system: Installation;
  let base: string;
  let other: string;

  beforeAll(async () => {
    [upstream, limiting] = await Promise.all([startFakeUpstream(), startFakeUpstream()]);
    // Every list is asked for again, and nothing is refreshed behind the test's back.
    system = await install(name, [upstream.host, limiting.host], {
      tags: { fresh: '0s', stale: '0s' },
      prefetch: { enabled: false },
    });
    base = system.gateways[0]!.url;
    other = system.gateways.at(-1)!.url;
  });
  afterAll(async () => {
    await system?.stop();
    await Promise.all([upstream?.stop(), limiting?.stop()]);
  });
  afterEach(() => upstream.faults.clear());

  const inPath = (repository: string, rest: string) => `/v2/${upstream.host}/${repository}/${rest}`;
  const tagsOf = (repository: string, query = '', gateway = base) =>
    get(`${gateway}${inPath(repository, 'tags/list')}${query}`);
  const addTags = (repository: string, tags: readonly string[]) => {
    const { root } = upstream.addImage({ repository, tag: tags[0]! });
    for (const tag of tags) upstream.content.tag(repository, tag, root.digest);
    return root;
  };
  /** Follows relative Links as clients do. */
  const walk = async (path: string, most = 100) => {
    const pages: Answer[] = [];
    for (let next: string | undefined = path; next && pages.length < most; ) {
      const answer = await get(base + next);
      expect(answer.status).toBe(200);
      pages.push(answer);
      next = /^<([^>]+)>; rel="next"$/.exec(String(answer.headers.link))?.[1];
    }
    return pages;
  };

  describe('tags/list', () => {
    it('A99, A100: says what the upstream says, sorted, under the name that was asked for', async () => {
      addTags('listed', ['v2', 'latest', 'V1', 'v10']);
      const answer = await tagsOf('listed');
      expect([answer.status, answer.headers['content-type'], json(answer)]).toEqual([
        200,
        'application/json',
        { name: `${upstream.host}/listed`, tags: ['V1', 'latest', 'v10', 'v2'] },
      ]);
      const byNs = await get(`${other}/v2/listed/tags/list?ns=${upstream.host}`);
      expect([json(byNs).name, byNs.headers['oci-namespace']]).toEqual(['listed', upstream.host]);
      const head = await get(base + inPath('listed', 'tags/list'), { method: 'HEAD' });
      expect([head.status, head.headers['content-length'], head.body.length]).toEqual([
        200,
        answer.headers['content-length'],
        0,
      ]);
    });

    it('A99: no tags are [], never null', async () => {
      upstream.addBlob('untagged', { size: 10, seed: 1 });
      expect(answerTags(await tagsOf('untagged'))).toEqual([]);
    });

    it('A101-A103: pages by n and last; n=0 is nothing, and a bad n is refused', async () => {
      const tags = Array.from({ length: 25 }, (_, n) => `t${String(n).padStart(2, '0')}`);
      addTags('paged', tags);
      expect(answerTags(await tagsOf('paged', '?n=10000'))).toEqual(tags);
      expect(answerTags(await tagsOf('paged', '?last=t22'))).toEqual(['t23', 't24']);
      const none = await tagsOf('paged', '?n=0');
      expect([answerTags(none), none.headers.link]).toEqual([[], undefined]);
      const pages = await walk(`${inPath('paged', 'tags/list')}?n=10`);
      expect(pages.map((page) => answerTags(page).length)).toEqual([10, 10, 5]);
      expect(pages.flatMap(answerTags)).toEqual(tags);
      for (const bad of ['-1', 'x', '1.5', '']) {
        expect(errorOf(await tagsOf('paged', `?n=${bad}`))).toEqual([400, 'PAGINATION_NUMBER_INVALID']);
      }
    });

    it('A102: the Link is relative and keeps in-path host and ns, and names no upstream address', async () => {
      addTags('linked', ['a', 'b']);
      expect((await tagsOf('linked', '?n=1&foo=bar')).headers.link).toBe(
        `<${inPath('linked', 'tags/list')}?n=1&last=a>; rel="next"`,
      );
      const byNs = await get(`${base}/v2/linked/tags/list?ns=${upstream.host}&n=1`);
      expect(byNs.headers.link).toBe(
        `</v2/linked/tags/list?n=1&last=a&ns=${encodeURIComponent(upstream.host)}>; rel="next"`,
      );
      expect((await walk(`/v2/linked/tags/list?ns=${upstream.host}&n=1`)).flatMap(answerTags)).toEqual(['a', 'b']);
    });

    it('A104: drops what is no tag', async () => {
      addTags('odd', ['good']);
      const body = JSON.stringify({ name: 'odd', tags: ['good', '-bad', '', 'a/b', 'x'.repeat(200)] });
      upstream.faults.add({ path: /odd\/tags/, status: 200, body });
      expect(answerTags(await tagsOf('odd'))).toEqual(['good']);
    });

    it('A105: an unknown repository is 404 NAME_UNKNOWN', async () => {
      expect(errorOf(await tagsOf('nothing/here'))).toEqual([404, 'NAME_UNKNOWN']);
    });

    it('fifty clients at once are one question to the upstream, through every gateway', async () => {
      addTags('herd', ['v1']);
      upstream.requests.clear();
      upstream.faults.add({ path: /herd\/tags/, delay: 200 });
      const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => tagsOf('herd', '', i % 2 ? base : other)));
      expect(answers.map(answerTags)).toEqual(answers.map(() => ['v1']));
      expect(upstream.requests.gets(/herd\/tags/)).toBe(1);
    });

    it('what is held is listed with a Warning while the upstream is down, and so is what it said last', async () => {
      addTags('held', ['v1', 'v2', 'v3']);
      expect((await get(base + inPath('held', 'manifests/v2'))).status).toBe(200);
      upstream.faults.add({ path: /held/, status: 503 });
      const held = await tagsOf('held');
      expect([answerTags(held), held.headers.warning]).toEqual([['v2'], expect.stringMatching(/^299 - "/)]);
      upstream.faults.clear();
      expect(answerTags(await tagsOf('held'))).toEqual(['v1', 'v2', 'v3']);
      upstream.faults.add({ path: /held/, reset: true });
      const last = await tagsOf('held', '', other);
      expect([answerTags(last), last.headers.warning]).toEqual([['v1', 'v2', 'v3'], expect.stringMatching(/^299 - "/)]);
    });

    it('A94: with nothing held an upstream that is down is 502, one that limits 429, one that refuses 403', async () => {
      for (const [status, want] of [
        [500, [502, 'UNKNOWN']],
        [403, [403, 'DENIED']],
      ] as const) {
        const repository = `bad/s${status}`;
        upstream.faults.add({ path: new RegExp(repository), status });
        expect(errorOf(await tagsOf(repository))).toEqual(want);
        upstream.faults.clear();
      }
      limiting.faults.add({ path: /tags/, status: 429, headers: { 'retry-after': '7' } });
      const limited = await get(`${base}/v2/${limiting.host}/some/tags/list`);
      expect([...errorOf(limited), limited.headers['retry-after']]).toEqual([429, 'TOOMANYREQUESTS', '7']);
    });
  });

  describe('referrers', () => {
    const subjectOf = (repository: string) => upstream.addImage({ repository, tag: 'v1' }).root;
    const sign = (repository: string, subject: { digest: string; size: number }, artifactType: string, n = 0) => {
      const document = {
        schemaVersion: 2,
        mediaType: MEDIA_TYPES.oci.manifest,
        artifactType,
        config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: subject.digest, size: 2 },
        layers: [],
        subject: { mediaType: MEDIA_TYPES.oci.manifest, digest: subject.digest, size: subject.size },
        annotations: { n: String(n) },
      };
      const manifest = made(MEDIA_TYPES.oci.manifest, document);
      upstream.content.addManifest(repository, manifest);
      return manifest;
    };
    const referrersOf = (repository: string, digest: string, query = '', gateway = base) =>
      get(`${gateway}${inPath(repository, `referrers/${digest}`)}${query}`);
    const digestsOf = (answer: Answer): string[] =>
      json(answer).manifests.map((descriptor: { digest: string }) => descriptor.digest);

    it('A107-A109: is an index of descriptors, filtered by artifactType on demand', async () => {
      const subject = subjectOf('signed');
      const signature = sign('signed', subject, 'application/signature');
      const sbom = sign('signed', subject, 'application/spdx+json');
      const all = await referrersOf('signed', subject.digest);
      expect([all.status, all.headers['content-type'], all.headers['oci-filters-applied']]).toEqual([
        200,
        INDEX,
        undefined,
      ]);
      expect(json(all)).toMatchObject({ schemaVersion: 2, mediaType: INDEX });
      expect(digestsOf(all)).toEqual([signature.digest, sbom.digest].sort());
      const filtered = await referrersOf('signed', subject.digest, '?artifactType=application/spdx+json', other);
      expect(filtered.headers['oci-filters-applied']).toBe('artifactType');
      expect(json(filtered).manifests).toEqual([
        {
          mediaType: MEDIA_TYPES.oci.manifest,
          digest: sbom.digest,
          size: sbom.size,
          artifactType: 'application/spdx+json',
          annotations: { n: '0' },
        },
      ]);
      const head = await get(base + inPath('signed', `referrers/${subject.digest}`), { method: 'HEAD' });
      expect([head.status, head.headers['content-length'], head.body.length]).toEqual([
        200,
        all.headers['content-length'],
        0,
      ]);
    });

    it('A107: nothing refers to it: an empty list; a bad digest is 400', async () => {
      const subject = subjectOf('unsigned');
      const answer = await referrersOf('unsigned', subject.digest);
      expect([answer.status, json(answer).manifests]).toEqual([200, []]);
      expect(errorOf(await referrersOf('unsigned', 'sha256:abc'))).toEqual([400, 'DIGEST_INVALID']);
    });

    it('A110: pages, and the Link keeps the filter', async () => {
      const subject = subjectOf('often');
      const digests = Array.from({ length: 5 }, (_, n) => sign('often', subject, 'application/x', n).digest).sort();
      sign('often', subject, 'application/y');
      const pages = await walk(`${inPath('often', `referrers/${subject.digest}`)}?n=2&artifactType=application/x`);
      expect(pages.map((page) => digestsOf(page).length)).toEqual([2, 2, 1]);
      expect(pages.flatMap(digestsOf)).toEqual(digests);
      for (const page of pages) expect(page.headers['oci-filters-applied']).toBe('artifactType');
    });

    it('A111, A112, B38: without the API, by the tag that stands in for it, when that is an index', async () => {
      const subject = subjectOf('older');
      const signature = sign('older', subject, 'application/signature');
      const tag = subject.digest.replace(':', '-');
      const descriptor = { mediaType: signature.mediaType, digest: signature.digest, size: signature.size };
      upstream.faults.add({ path: /older\/referrers/, status: 404 });
      upstream.content.addManifest('older', signature, tag);
      expect(digestsOf(await referrersOf('older', subject.digest))).toEqual([]);
      const second = subjectOf('oldest');
      upstream.faults.add({ path: /oldest\/referrers/, status: 404 });
      const index = made(INDEX, { schemaVersion: 2, mediaType: INDEX, manifests: [descriptor] });
      upstream.content.addManifest('oldest', index, second.digest.replace(':', '-'));
      expect(digestsOf(await referrersOf('oldest', second.digest))).toEqual([signature.digest]);
    });

    it('what is held is listed with a Warning while the upstream is down', async () => {
      const subject = subjectOf('offline');
      const signature = sign('offline', subject, 'application/signature');
      sign('offline', subject, 'application/never-pulled');
      expect((await get(base + inPath('offline', `manifests/${signature.digest}`))).status).toBe(200);
      upstream.faults.add({ path: /offline/, status: 500 });
      const answer = await referrersOf('offline', subject.digest, '', other);
      expect([digestsOf(answer), answer.headers.warning]).toEqual([
        [signature.digest],
        expect.stringMatching(/^299 - "/),
      ]);
      expect(json(answer).manifests[0]).toMatchObject({
        artifactType: 'application/signature',
        annotations: { n: '0' },
        size: signature.size,
      });
    });

    it('nothing known and nobody to ask is no empty list', async () => {
      const subject = subjectOf('unknown');
      upstream.faults.add({ path: /unknown/, status: 500 });
      expect(errorOf(await referrersOf('unknown', subject.digest))).toEqual([502, 'UNKNOWN']);
    });
  });

  describe('_catalog', () => {
    it('A106: lists what is cached, by names that can be pulled, page by page', async () => {
      for (const repository of ['cat/b', 'cat/a', 'cat/a-b']) {
        upstream.addImage({ repository, tag: 'v1' });
        expect((await get(base + inPath(repository, 'manifests/v1'))).status).toBe(200);
      }
      upstream.addImage({ repository: 'cat/only-upstream', tag: 'v1' });
      const pages = await walk('/v2/_catalog?n=2');
      const found: string[] = pages.flatMap((page) => json(page).repositories);
      expect(found).toEqual(found.toSorted());
      expect(found.filter((each) => each.includes('/cat/'))).toEqual(
        ['cat/a', 'cat/a-b', 'cat/b'].map((repository) => `${upstream.host}/${repository}`),
      );
      for (const repository of found.filter((each) => each.includes('/cat/'))) {
        expect((await get(`${other}/v2/${repository}/manifests/v1`)).status).toBe(200);
      }
      const byNs = await get(`${base}/v2/_catalog?ns=${upstream.host}&n=10000`);
      expect(json(byNs).repositories.filter((each: string) => each.startsWith('cat/'))).toHaveLength(3);
      expect((await get(`${base}/v2/_catalog?ns=${upstream.host}&n=1`)).headers.link).toMatch(
        new RegExp(`^</v2/_catalog\\?n=1&last=[^&]+&ns=${encodeURIComponent(upstream.host)}>; rel="next"$`),
      );
      expect(json(await get(`${base}/v2/_catalog?n=0`)).repositories).toEqual([]);
    });
  });

  const answerTags = (answer: Answer): string[] => json(answer).tags;
});
