import { randomUUID } from 'node:crypto';
import { forEach } from '#async';
import type { PullRequested } from '#bus';
import { Failure, type FailureRecord, formatReference, formatRepository } from '#oci';
import type { PlatformChoice } from '../platform-choice.js';
import { type ListedImage, matchesGlob, parseImageList } from './image-list.js';
import { type ImageProgress, preloadImage } from './preload-image.js';
import type { PresenceOptions, PresencePorts } from './presence.js';

interface PreloaderPorts extends PresencePorts {
  /** Whether this canonical host may be pulled from. */
  allows(host: string): boolean;
}

interface PreloaderOptions extends PresenceOptions {
  /** Images of one job, and objects of one image, that are asked for at a time. */
  readonly images: number;
  readonly objects: number;
  /** Upstream of names that tell no host; Docker Hub when empty. */
  readonly defaultNs: string;
  /** Which children of an index are loaded where the request does not say. */
  readonly platforms: PlatformChoice;
}

export interface PreloadRequest {
  /** A list as `parseImageList` reads it. */
  readonly list: string;
  readonly platforms?: PlatformChoice;
  readonly cause?: Extract<PullRequested['cause'], 'preload' | 'watch'>;
}

interface PreloadedImage extends Readonly<ImageProgress> {
  /** In full, or as it was given where it is no reference. */
  readonly reference: string;
  /** In the list. */
  readonly line: number;
  readonly state: 'queued' | 'running' | 'done' | 'failed' | 'cancelled';
  /** Of a glob: the tags that match. Each is an image of its own behind those of the list. */
  readonly matches?: number;
  readonly failure?: FailureRecord;
}

export interface PreloadJob {
  readonly id: string;
  readonly state: 'running' | 'done' | 'failed' | 'cancelled';
  /** RFC 3339. */
  readonly startedAt: string;
  readonly finishedAt?: string;
  readonly images: readonly PreloadedImage[];
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
interface Job {
  readonly shown: Mutable<PreloadJob> & { images: Mutable<PreloadedImage>[] };
  readonly cancel: AbortController;
  readonly end: Promise<void>;
}

const MAX_IMAGES = 10_000;
const MAX_RUNNING = 16;
const KEPT = 50;

/**
 * Loads lists of images ahead of any client. One bad line or one failing image fails that image; the job goes on and
 * ends `failed`. Run again it asks only for what is missing, so a job that was interrupted is simply started anew.
 *
 *   queued --> running --> done | failed          an image; cancelled from queued and running
 */
export class Preloader {
  /** In order of their start. */
  private readonly jobs = new Map<string, Job>();
  private closed = false;

  constructor(
    private readonly ports: PreloaderPorts,
    private readonly options: PreloaderOptions,
  ) {}

  /** Starts and does not wait. Throws Failure MANIFEST_INVALID for an empty or too long list, UNAVAILABLE when too many jobs run. */
  start(request: PreloadRequest): PreloadJob {
    const listed = parseImageList(request.list, this.options.defaultNs || undefined);
    if (listed.length === 0) throw new Failure('MANIFEST_INVALID', 'the list names no image');
    if (listed.length > MAX_IMAGES)
      throw new Failure('MANIFEST_INVALID', `the list names more than ${MAX_IMAGES} images`);
    const running = [...this.jobs.values()].filter(({ shown }) => shown.state === 'running').length;
    if (this.closed || running >= MAX_RUNNING)
      throw new Failure('UNAVAILABLE', this.closed ? 'shutting down' : 'too many preloads are running', {
        retryAfter: 10,
      });
    const cancel = new AbortController();
    const shown: Job['shown'] = {
      id: randomUUID(),
      state: 'running',
      startedAt: new Date().toISOString(),
      images: listed.map(describe),
    };
    this.jobs.set(shown.id, { shown, cancel, end: this.run(shown, listed, request, cancel.signal) });
    this.forgetOld();
    return shown;
  }

  find(id: string): PreloadJob | undefined {
    return this.jobs.get(id)?.shown;
  }

  /** Latest first. */
  list(): PreloadJob[] {
    return [...this.jobs.values()].map(({ shown }) => shown).reverse();
  }

  /** Resolves when the job has ended, however it did. */
  async end(id: string): Promise<void> {
    await this.jobs.get(id)?.end;
  }

  /** What pullers do already goes on; nothing more is asked for. Cancelling an ended job changes nothing. */
  async cancel(id: string): Promise<PreloadJob | undefined> {
    const job = this.jobs.get(id);
    job?.cancel.abort(new Failure('UNAVAILABLE', 'the preload was cancelled', { retryable: false }));
    await job?.end;
    return job?.shown;
  }

  async close(): Promise<void> {
    this.closed = true;
    await Promise.all([...this.jobs.keys()].map((id) => this.cancel(id)));
    this.ports.waits.close();
  }

  private async run(
    job: Job['shown'],
    listed: readonly ListedImage[],
    request: PreloadRequest,
    signal: AbortSignal,
  ): Promise<void> {
    const pairs = listed.map((entry, index) => ({ entry, image: job.images[index]! }));
    const found: ListedImage[] = [];
    await forEach(pairs, this.options.images, async ({ entry, image }) => {
      if ('tags' in entry) found.push(...(await this.expand(entry, image, request, signal)));
    });
    // What the list names itself, or two globs do, is one image.
    const known = new Set(job.images.map(({ reference }) => reference));
    for (const entry of found) {
      const image = describe(entry);
      if (known.has(image.reference) || job.images.length >= MAX_IMAGES) continue;
      known.add(image.reference);
      job.images.push(image);
      pairs.push({ entry, image });
    }
    await forEach(pairs, this.options.images, ({ entry, image }) => this.one(entry, image, request, signal));
    job.finishedAt = new Date().toISOString();
    const failed = job.images.filter(({ state }) => state === 'failed').length;
    job.state = signal.aborted ? 'cancelled' : failed > 0 ? 'failed' : 'done';
    const { id: preload, state } = job;
    this.ports.log.info({ preload, state, images: job.images.length, failed }, 'preload ended');
  }

  /** The tags of a glob as its repository's upstream lists them. Never rejects. */
  private async expand(
    { repository, tags, line }: Extract<ListedImage, { tags: string }>,
    image: Mutable<PreloadedImage>,
    { cause = 'preload' }: PreloadRequest,
    signal: AbortSignal,
  ): Promise<ListedImage[]> {
    image.state = 'running';
    try {
      if (!this.ports.allows(repository.upstream)) throw new Failure('NAME_UNKNOWN', 'registry not allowed');
      const target = { kind: 'tags', repository } as const;
      if (!this.options.airGapped)
        await this.ports.waits.wait({ target, lane: 'background', cause }, { patient: true, signal });
      const { listed, held } = await this.ports.catalog.findTags(repository);
      const names = [...new Set([...(listed?.entries ?? []), ...held])].filter((tag) => matchesGlob(tag, tags)).sort();
      if (names.length === 0) throw new Failure('MANIFEST_UNKNOWN', 'no tag matches');
      image.matches = names.length;
      image.state = 'done';
      return names.map((tag) => ({ text: tag, line, reference: { repository, tag } }));
    } catch (error) {
      this.failed(image, error, signal);
      return [];
    }
  }

  /** Never rejects. */
  private async one(
    entry: ListedImage,
    image: Mutable<PreloadedImage>,
    request: PreloadRequest,
    signal: AbortSignal,
  ): Promise<void> {
    if (!('reference' in entry)) return;
    if (signal.aborted) {
      image.state = 'cancelled';
      return;
    }
    image.state = 'running';
    try {
      if (!this.ports.allows(entry.reference.repository.upstream))
        throw new Failure('NAME_UNKNOWN', 'registry not allowed');
      const options = {
        ...this.options,
        concurrency: this.options.objects,
        platforms: request.platforms ?? this.options.platforms,
        cause: request.cause ?? 'preload',
      } as const;
      await preloadImage(entry.reference, image, this.ports, options, signal);
      image.state = 'done';
    } catch (error) {
      this.failed(image, error, signal);
    }
  }

  private failed(image: Mutable<PreloadedImage>, error: unknown, signal: AbortSignal): void {
    image.state = signal.aborted ? 'cancelled' : 'failed';
    if (signal.aborted) return;
    const failure = Failure.of(error);
    image.failure = failure.toRecord();
    const fields = {
      reference: image.reference,
      reason: failure.reason,
      cause: failure.cause && String(failure.cause),
    };
    this.ports.log.warn(fields, `preload: ${failure.message}`);
  }

  private forgetOld(): void {
    for (const [id, { shown }] of this.jobs) {
      if (this.jobs.size <= KEPT) return;
      if (shown.state !== 'running') this.jobs.delete(id);
    }
  }
}

function describe(entry: ListedImage): Mutable<PreloadedImage> {
  const progress = { objects: 0, objectsDone: 0, pulled: 0, bytes: 0, bytesDone: 0 };
  if ('reference' in entry)
    return { reference: formatReference(entry.reference), line: entry.line, state: 'queued', ...progress };
  if ('tags' in entry) {
    const reference = `${formatRepository(entry.repository)}:${entry.tags}`;
    return { reference, line: entry.line, state: 'queued', ...progress };
  }
  const failure = new Failure('NAME_INVALID', `line ${entry.line}: ${entry.problem}`).toRecord();
  return { reference: entry.text, line: entry.line, state: 'failed', failure, ...progress };
}
