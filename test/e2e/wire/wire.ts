import { DocumentCheck } from '../../support/api-document.js';
import { type RawAnswer, raw } from '../../support/raw.js';
import { type Installation, install, type StackName } from '../../support/servers.js';
import {
  type BlobSource,
  bytesSource,
  type FakeUpstream,
  randomBytes,
  startFakeUpstream,
} from '../../support/upstream/index.js';

export const INDEX = 'application/vnd.oci.image.index.v1+json';
/** No name server knows it. */
export const NOWHERE = 'registry.invalid';
export const absent = `sha256:${'0'.repeat(64)}`;

/** One installation, asked by raw requests; every answer is held against docs/api/registry.yaml. */
export class Wire {
  upstream!: FakeUpstream;
  /** Each misbehaves in its own way from its first request on. */
  hanging!: FakeUpstream;
  limiting!: FakeUpstream;
  resting!: FakeUpstream;
  dated!: FakeUpstream;
  system!: Installation;
  base!: string;
  /** In the cache from each of them, as it was before any of them misbehaved. */
  warm!: ReturnType<FakeUpstream['addImage']>;
  readonly check = new DocumentCheck();
  readonly problems: string[] = [];

  async start(name: StackName): Promise<void> {
    const [upstream, hanging, limiting, resting, dated] = (await Promise.all(
      Array.from({ length: 5 }, () => startFakeUpstream()),
    )) as [FakeUpstream, FakeUpstream, FakeUpstream, FakeUpstream, FakeUpstream];
    Object.assign(this, { upstream, hanging, limiting, resting, dated });
    this.system = await install(name, [], {
      registries: [
        ...this.upstreams.map(({ host }) => ({ name: host, scheme: 'http' })),
        { name: NOWHERE },
        // It speaks plain http.
        { name: this.withoutTls, scheme: 'https' },
      ],
      defaultNs: this.upstream.host,
      // Every tag and list is asked for first, so that what is answered with content in the cache can be seen.
      tags: { fresh: '0s', stale: '0s' },
      prefetch: { enabled: false },
      pullTimeout: '5s',
    });
    this.base = this.system.gateways[0]!.url;
    for (const { host, addImage } of this.upstreams) {
      this.warm = addImage({ repository: 'warm', tag: 'v1' });
      for (const rest of this.warmPaths) {
        const answer = await this.ask(`/v2/${host}/warm/${rest}`);
        if (answer.status !== 200) throw new Error(`${rest} answered ${answer.status}`);
      }
    }
    this.hanging.faults.add({ hang: true });
    this.limiting.faults.add({ status: 429, headers: { 'retry-after': '7' } });
    this.resting.faults.add({ status: 500 });
  }

  get withoutTls(): string {
    return `localhost:${new URL(this.upstream.url).port}`;
  }

  /** What is in the cache: first what changes, then what cannot. */
  get warmPaths(): string[] {
    const { root, images } = this.warm;
    const { digest } = images[0]!.layers[0]!;
    return [...this.changing, `manifests/${root.digest}`, `blobs/${digest}`];
  }

  get changing(): string[] {
    return ['manifests/v1', 'tags/list', `referrers/${this.warm.root.digest}`];
  }

  private get upstreams(): FakeUpstream[] {
    return [this.upstream, this.hanging, this.limiting, this.resting, this.dated];
  }

  async stop(): Promise<void> {
    await this.system?.stop();
    await Promise.all(this.upstreams.map((each) => each?.stop()));
  }

  /** Sends a raw request, and holds the answer against the document. */
  readonly ask = async (target: string, headers: readonly string[] = [], method = 'GET'): Promise<RawAnswer> => {
    const answer = await raw(this.base, target, { method, headers });
    this.problems.push(...this.check.problems(method, target, answer));
    return answer;
  };

  readonly head = (target: string, headers: readonly string[] = []) => this.ask(target, headers, 'HEAD');

  readonly errorOf = (answer: RawAnswer) => [answer.status, JSON.parse(answer.body.toString()).errors[0].code];

  /** All headers but those whose value changes from answer to answer, which are left to the document. */
  readonly headersOf = ({ headers }: RawAnswer) =>
    Object.fromEntries(
      headers
        .map(([key, value]) => [key.toLowerCase(), value])
        .filter(([key]) => key !== 'date' && key !== 'server-timing'),
    );

  readonly bytesOf = (blob: BlobSource) => Buffer.concat([...blob.chunks(0, blob.size)]);

  readonly image = (repository: string, tag = 'v1') => this.upstream.addImage({ repository, tag });

  readonly blob = (repository: string, size = 2000, seed = 1) =>
    this.upstream.addBlob(repository, bytesSource(randomBytes(size, seed)));
}
