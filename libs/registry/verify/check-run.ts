import { LRUCache } from 'lru-cache';
import type { CheckedManifest } from '#catalog';
import { type Digest, Failure, hasherFor } from '#oci';
import { compare, type Pair } from './compare.js';
import { Pace } from './pace.js';
import { type RepairPorts, repairBlob, repairManifest } from './repair.js';
import { objectsOf } from './scope.js';
import type { Findings, VerifierOptions, VerifyProblem } from './verifier.js';

const MOST_PROBLEMS = 1_000;
const MANIFEST_PAGE = 200;
/** Sizes compared a second: a store answers thousands, and clients come first. */
const LOOKS_PER_SECOND = 2_000;
const SEEN = 200_000;
/** For questions about bytes, which all repositories share. */
const ANY = { upstream: 'docker.io', path: 'library/any' };

/** One walk over what is to be checked. */
export class CheckRun {
  private readonly reading: Pace;
  private readonly looking = new Pace(LOOKS_PER_SECOND);
  /** Images share layers. */
  private readonly seen = new LRUCache<Digest, true>({ max: SEEN });

  constructor(
    private readonly shown: Findings,
    private readonly ports: RepairPorts,
    private readonly options: VerifierOptions,
    private readonly signal: AbortSignal,
  ) {
    this.reading = new Pace(shown.request.rate);
  }

  async run(): Promise<void> {
    const { image, patterns } = this.shown.request;
    if (image === undefined && patterns === undefined) return this.everything();
    let found = false;
    for await (const { kind, digest, size } of objectsOf({ image, patterns }, this.ports.catalog)) {
      this.signal.throwIfAborted();
      found = true;
      if (this.seen.has(digest)) continue;
      this.seen.set(digest, true);
      if (kind === 'blob') await this.blob({ digest, known: size });
      else await this.manifest(await this.ports.catalog.holdings.checkManifest(digest));
    }
    if (!found && image !== undefined) throw new Failure('MANIFEST_UNKNOWN', `${image} is not in the cache`);
  }

  private async everything(): Promise<void> {
    const { catalog, blobs } = this.ports;
    await this.count();
    if (this.shown.request.deep) {
      for (let after: string | undefined; ; ) {
        this.signal.throwIfAborted();
        const page = await catalog.holdings.checkManifests(after, MANIFEST_PAGE);
        for (const manifest of page) await this.manifest(manifest);
        if (page.length < MANIFEST_PAGE) break;
        after = page.at(-1)!.place;
      }
    }
    for await (const pair of compare(catalog, blobs)) {
      this.signal.throwIfAborted();
      if (pair.known !== undefined) await this.blob(pair);
      else await this.orphan(pair);
    }
  }

  /** For the progress only. */
  private async count(): Promise<void> {
    const { deep } = this.shown.request;
    const counts = await this.ports.catalog.counts().catch(() => undefined);
    if (!counts) return;
    const objects = counts.blobs + (deep ? counts.manifests : 0);
    this.shown.total = { objects, bytes: counts.blobBytes + (deep ? counts.manifestBytes : 0) };
  }

  private async manifest(checked: CheckedManifest | undefined): Promise<void> {
    if (!checked) return;
    const { digest, size, intact } = checked;
    this.shown.objects++;
    this.shown.bytes += size;
    await this.reading.take(size, this.signal);
    if (intact) return;
    await this.problem({ kind: 'manifest', digest, problem: 'bytes' }, () =>
      repairManifest(digest, this.ports, this.options, this.signal),
    );
  }

  private async blob({ digest, known, stored }: Pair): Promise<void> {
    const size = known!;
    await this.looking.take(1, this.signal);
    this.shown.objects++;
    // From a listing only what looks right is believed; the rest may have come or gone since.
    const there = stored?.size === size ? stored : await this.ports.blobs.stat(digest);
    const problem = !there ? 'missing' : there.size !== size ? 'size' : await this.read(digest, size);
    if (!this.shown.request.deep || problem === 'missing' || problem === 'size') this.shown.bytes += size;
    if (!problem || !(await this.isKnown(digest))) return;
    await this.problem({ kind: 'blob', digest, problem }, () =>
      repairBlob(digest, size, this.ports, this.options, this.signal),
    );
  }

  private async read(digest: Digest, size: number): Promise<VerifyProblem['problem'] | undefined> {
    if (!this.shown.request.deep) return undefined;
    const hasher = hasherFor(digest);
    const sink = {
      write: (chunk: Buffer) => {
        hasher.update(chunk);
        this.shown.bytes += chunk.length;
        return this.reading.take(chunk.length, this.signal);
      },
    };
    try {
      await this.ports.blobs.read(digest, { offset: 0, length: size }, sink, this.signal);
    } catch (error) {
      this.signal.throwIfAborted();
      // Pruned, or cut off, while it was read.
      if (Failure.of(error).reason === 'BLOB_UNKNOWN') return 'missing';
      throw error;
    }
    return hasher.digest() === digest ? undefined : 'bytes';
  }

  /** Whether it still is: what was pruned in the meantime is no fault. */
  private async isKnown(digest: Digest): Promise<boolean> {
    return (await this.ports.catalog.knowBlob(ANY, digest)).stored !== undefined;
  }

  private async problem(
    found: Pick<VerifyProblem, 'kind' | 'digest' | 'problem'>,
    repair: () => ReturnType<typeof repairBlob>,
  ): Promise<void> {
    this.shown.bad++;
    this.ports.log.warn(found, 'stored content is not what it should be');
    const result = this.shown.request.repair ? await repair() : ({ outcome: 'found' } as const);
    if (result.outcome === 'repaired') this.shown.repaired++;
    if (this.shown.problems.length < MOST_PROBLEMS) this.shown.problems.push({ ...found, ...result });
  }

  /** Bytes whose row is not there: a pull or an import died before it told, or a prune after. */
  private async orphan({ digest, stored }: Pair): Promise<void> {
    const { orphans, request } = this.shown;
    if (!stored || Date.now() - stored.storedAt.getTime() < this.options.orphanAge) return;
    if (await this.isKnown(digest)) return;
    orphans.blobs++;
    orphans.bytes += stored.size;
    if (!request.repair) return;
    await this.ports.blobs.remove(digest);
    orphans.removed++;
  }
}
