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
export const absent = `sha256:${'0'.repeat(64)}`;

/** One installation, asked by raw requests; every answer is held against docs/api/registry.yaml. */
export class Wire {
  upstream!: FakeUpstream;
  /** Each misbehaves in its own way from its first request on. */
  hanging!: FakeUpstream;
  limiting!: FakeUpstream;
  resting!: FakeUpstream;
  system!: Installation;
  base!: string;
  readonly check = new DocumentCheck();
  readonly problems: string[] = [];

  async start(name: StackName): Promise<void> {
    [this.upstream, this.hanging, this.limiting, this.resting] = (await Promise.all(
      Array.from({ length: 4 }, () => startFakeUpstream()),
    )) as [FakeUpstream, FakeUpstream, FakeUpstream, FakeUpstream];
    const hosts = [this.upstream, this.hanging, this.limiting, this.resting].map(({ host }) => host);
    this.system = await install(name, hosts, {
      defaultNs: this.upstream.host,
      // Every tag and list is asked for first, so that what is answered with content in the cache can be seen.
      tags: { fresh: '0s', stale: '0s' },
      prefetch: { enabled: false },
      pullTimeout: '5s',
    });
    this.base = this.system.gateways[0]!.url;
    this.hanging.faults.add({ hang: true });
    this.limiting.faults.add({ status: 429, headers: { 'retry-after': '7' } });
    this.resting.faults.add({ status: 500 });
  }

  async stop(): Promise<void> {
    await this.system?.stop();
    await Promise.all([this.upstream, this.hanging, this.limiting, this.resting].map((each) => each?.stop()));
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
