import { randomUUID } from 'node:crypto';
import { forEach } from '#async';
import type { Duty } from '#catalog';
import { type Digest, Failure, type FailureRecord, formatReference, type Reference } from '#oci';
import { type ImageProgress, type PreloadImageOptions, preloadImage } from '../preload/preload-image.js';
import type { PresencePorts } from '../preload/presence.js';
import { leaseKey } from '../pulls/lease-key.js';
import type { TagRule } from '../serve/freshness.js';

/** A tag, in full. */
export type TagReference = Reference & { readonly tag: string };

export interface WatchedTag {
  readonly reference: TagReference;
  /** Milliseconds. */
  readonly every: number;
}

export interface WatchState extends WatchedTag {
  /** What the tag names; undefined while nothing of it is cached. */
  readonly digest?: Digest;
  /** Milliseconds since the upstream last confirmed it. */
  readonly age?: number;
  /** Why nobody will ask: the rule of the tag pins it, or the server is air-gapped. */
  readonly resting?: 'pinned' | 'air-gapped';
  /** How the last pull of the tag failed, if it did. */
  readonly failure?: FailureRecord;
}

export type CheckResult = 'unchanged' | 'moved' | 'failed';

interface WatcherPorts extends PresencePorts {
  /** Whether this canonical host may be pulled from. */
  allows(host: string): boolean;
  onCheck?(result: CheckResult): void;
}

interface WatcherOptions extends Omit<PreloadImageOptions, 'cause'> {
  readonly tagRule: (repository: Reference['repository'], tag: string) => TagRule;
}

/** The process that watches keeps the duty; when it dies another one takes over within this time. Milliseconds. */
const LEASE_MS = 30_000;
const LOOK_MS = 1_000;
/** Tags that are looked up at a time, and that are asked for at a time. */
const AT_A_TIME = 4;
const MOST_CHECKS = 16;
/** After a failure the next look is no later than this. Milliseconds. */
const RETRY_MS = 60_000;
const DUTY = 'watch';
const NOTHING: ImageProgress = { objects: 0, objectsDone: 0, pulled: 0, bytes: 0, bytesDone: 0 };

/**
 * Asks upstreams again and again what tags name, and fetches what has moved before anybody asks for it: by HEAD, in the
 * background lane, with what the image consists of. One process does it for all. When a tag is due follows from when the
 * catalog saw it confirmed last, whoever asked: a new watcher goes on where the one before has stopped.
 */
export class Watcher {
  private readonly holder = randomUUID();
  private readonly stopping = new AbortController();
  private readonly running = new Map<string, Promise<CheckResult>>();
  /** Checks that wait for one of the same tag. */
  private readonly queued = new Map<string, Promise<CheckResult>>();
  /** When each tag is looked at next: epoch milliseconds. */
  private readonly next = new Map<string, number>();
  private duty: Duty | undefined;
  private timer: NodeJS.Timeout | undefined;
  private round: Promise<void> = Promise.resolve();
  private kept = 0;

  constructor(
    private readonly ports: WatcherPorts,
    private readonly options: WatcherOptions,
    readonly watched: readonly WatchedTag[],
  ) {}

  start(): void {
    if (this.watched.length === 0 || this.stopping.signal.aborted) return;
    let busy = false;
    this.timer = setInterval(() => {
      if (busy) return;
      busy = true;
      this.round = this.look().finally(() => {
        busy = false;
      });
    }, LOOK_MS);
    this.timer.unref();
  }

  /** Lets go of the duty; a check that waits for a puller is given up, the puller is not. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    this.stopping.abort(new Failure('UNAVAILABLE', 'shutting down'));
    await Promise.allSettled([this.round, ...this.running.values()]);
    await this.duty?.end(false).catch(() => {});
    this.ports.waits.close();
  }

  /** Checks that run. */
  get busy(): number {
    return this.running.size;
  }

  watches({ repository, tag }: Reference): boolean {
    return this.watched.some(
      ({ reference }) =>
        reference.tag === tag &&
        reference.repository.path === repository.path &&
        reference.repository.upstream === repository.upstream,
    );
  }

  /** As every process sees it, whichever one watches. */
  async states(): Promise<WatchState[]> {
    const states: WatchState[] = [];
    await forEach([...this.watched.entries()], AT_A_TIME, async ([place, watched]) => {
      const { repository, tag } = watched.reference;
      const target = { kind: 'manifest', repository, reference: tag } as const;
      const [found, row] = await Promise.all([
        this.ports.catalog.findTag(repository, tag),
        this.ports.catalog.pulls.find(leaseKey(target)),
      ]);
      const resting = this.resting(watched.reference);
      states[place] = {
        ...watched,
        ...(found ? { digest: found.digest, age: found.age } : {}),
        ...(resting ? { resting } : {}),
        ...(row?.failure ? { failure: row.failure } : {}),
      };
    });
    return states;
  }

  /**
   * Asks the upstream what the tag names now and brings what is missing. Calls for one tag share what runs. Never rejects:
   * what failed is logged.
   */
  check(reference: TagReference): Promise<CheckResult> {
    const name = formatReference(reference);
    const known = this.running.get(name);
    if (known) return known;
    const check = this.bring(reference, name).finally(() => this.running.delete(name));
    this.running.set(name, check);
    return check;
  }

  /** The same after news of the tag: a check that runs may have asked before it came. */
  checkAnew(reference: TagReference): Promise<CheckResult> {
    const name = formatReference(reference);
    const running = this.running.get(name);
    if (!running) return this.check(reference);
    const queued = this.queued.get(name);
    if (queued) return queued;
    const next = running.then(() => {
      this.queued.delete(name);
      return this.check(reference);
    });
    this.queued.set(name, next);
    return next;
  }

  private async look(): Promise<void> {
    try {
      if (!(await this.onDuty())) return this.next.clear();
      const due = this.watched.filter(({ reference }) => {
        const name = formatReference(reference);
        return (this.next.get(name) ?? 0) <= Date.now() && !this.resting(reference);
      });
      await forEach(due, AT_A_TIME, async (watched) => {
        // Checks may take longer than the lease; whoever has lost it leaves the rest to the next one.
        if (!this.stopping.signal.aborted && (await this.onDuty())) await this.one(watched);
      });
    } catch (error) {
      this.ports.log.debug({ error: String(error) }, 'cannot look at watched tags');
    }
  }

  private async one({ reference, every }: WatchedTag): Promise<void> {
    const name = formatReference(reference);
    const found = await this.ports.catalog.findTag(reference.repository, reference.tag);
    if (found && found.age < every) {
      this.next.set(name, Date.now() + every - found.age);
      return;
    }
    // Not waited for: one that hangs must not hold up the others. Those that find no room are due again at the next look.
    if (this.running.size >= MOST_CHECKS) return;
    this.next.set(name, Number.POSITIVE_INFINITY);
    void this.check(reference).then((result) => {
      this.next.set(name, Date.now() + (result === 'failed' ? Math.min(every, RETRY_MS) : every));
    });
  }

  /** True while this process is the one that watches. */
  private async onDuty(): Promise<boolean> {
    if (Date.now() < this.kept) return true;
    const held = this.duty;
    this.duty = undefined;
    if (held && (await held.renew(LEASE_MS))) this.duty = held;
    else {
      this.duty = await this.ports.catalog.duties.take(DUTY, this.holder, LEASE_MS);
      if (this.duty) this.ports.log.info({ tags: this.watched.length }, 'this process watches tags now');
    }
    this.kept = this.duty ? Date.now() + LEASE_MS / 3 : 0;
    return this.duty !== undefined;
  }

  private resting({ repository, tag }: TagReference): WatchState['resting'] {
    if (this.options.airGapped) return 'air-gapped';
    return this.options.tagRule(repository, tag).fresh === Number.POSITIVE_INFINITY ? 'pinned' : undefined;
  }

  private async bring(reference: TagReference, name: string): Promise<CheckResult> {
    const { catalog, log } = this.ports;
    const { signal } = this.stopping;
    let result: CheckResult = 'failed';
    try {
      if (!this.ports.allows(reference.repository.upstream)) throw new Failure('NAME_UNKNOWN', 'registry not allowed');
      const before = await catalog.findTag(reference.repository, reference.tag);
      const progress = { ...NOTHING };
      await preloadImage(reference, progress, this.ports, { ...this.options, cause: 'watch' }, signal);
      result = before?.digest === progress.digest ? 'unchanged' : 'moved';
      if (result === 'moved')
        log.info({ reference: name, from: before?.digest, to: progress.digest, bytes: progress.bytes }, 'a tag moved');
    } catch (error) {
      if (!signal.aborted) {
        const { reason, message } = Failure.of(error);
        log.warn({ reference: name, reason }, `cannot check a tag: ${message}`);
      }
    }
    this.ports.onCheck?.(result);
    return result;
  }
}
