import type { BlobStore, Notes } from '#blobs';
import type { Bus } from '#bus';
import type { Catalog, Duty } from '#catalog';
import { Failure } from '#oci';
import type { Log } from '../ports.js';
import { type RebuildReport, replay } from './rebuild.js';
import { journalState, wantsSnapshot, writeSnapshot } from './snapshot.js';

interface KeeperPorts {
  readonly catalog: Catalog;
  readonly blobs: BlobStore;
  readonly notes: Notes;
  readonly bus: Bus;
  readonly log: Log;
}

export interface RebuildJob extends Readonly<RebuildReport> {
  readonly state: 'running' | 'done' | 'failed' | 'cancelled';
  /** RFC 3339. */
  readonly startedAt: string;
  readonly finishedAt?: string;
  readonly error?: string;
}

const LEASE_MS = 60_000;
const DUTY = 'journal';
/** A longer one would go off at once. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** Keeps the journal beside the blobs short, and makes the catalog from it when that was lost. One process at a time. */
export class JournalKeeper {
  private readonly stopping = new AbortController();
  private readonly unsubscribe: () => void;
  private timer: NodeJS.Timeout | undefined;
  /** Something was pruned that the journal still has. */
  private removed = false;
  private job: { shown: { -readonly [K in keyof RebuildJob]: RebuildJob[K] }; cancel: AbortController } | undefined;
  private running: Promise<void> = Promise.resolve();

  constructor(
    private readonly ports: KeeperPorts,
    /** Of this process. */
    private readonly holder: string,
    /** Milliseconds between two looks at how long the journal has become. */
    private readonly every: number,
  ) {
    this.unsubscribe = ports.bus.onSignal('content.removed', () => {
      this.removed = true;
    });
  }

  /** Looks after the journal from now on; soon for the first time, since a catalog of an older release has none. */
  follow(): void {
    const look = () => {
      this.running = this.running.then(() => this.look());
      this.timer = setTimeout(look, Math.min(this.every, LONGEST_TIMER));
      this.timer.unref();
    };
    this.timer = setTimeout(look, this.every / 60);
    this.timer.unref();
    void this.hint();
  }

  /** Starts and does not wait. Rejects with Failure UNAVAILABLE while another process works on the journal. */
  async rebuild(): Promise<RebuildJob> {
    const duty = await this.ports.catalog.duties.take(DUTY, this.holder, LEASE_MS);
    if (!duty) throw new Failure('UNAVAILABLE', 'the journal is being written or read already', { retryAfter: 10 });
    const shown: NonNullable<typeof this.job>['shown'] = {
      state: 'running',
      startedAt: new Date().toISOString(),
      ...{ segments: 0, segmentsDone: 0, manifests: 0, tags: 0, blobs: 0, missing: 0 },
      problems: [],
    };
    const cancel = new AbortController();
    this.job = { shown, cancel };
    this.running = this.run(shown, duty, AbortSignal.any([cancel.signal, this.stopping.signal]));
    return shown;
  }

  /** The one that runs, or the last one of this process. */
  last(): RebuildJob | undefined {
    return this.job?.shown;
  }

  async cancel(): Promise<RebuildJob | undefined> {
    this.job?.cancel.abort(new Failure('UNAVAILABLE', 'the rebuild was cancelled'));
    await this.running;
    return this.job?.shown;
  }

  async close(): Promise<void> {
    clearTimeout(this.timer);
    this.unsubscribe();
    this.stopping.abort(new Failure('UNAVAILABLE', 'shutting down'));
    await this.running;
  }

  /** Never rejects. */
  private async run(shown: NonNullable<typeof this.job>['shown'], duty: Duty, signal: AbortSignal): Promise<void> {
    const { catalog, notes, log } = this.ports;
    try {
      await renewed(duty, async (lost) => {
        const until = AbortSignal.any([signal, lost]);
        const read = await replay(this.ports, shown as RebuildReport, until);
        // What could not be read stays: somebody may want to look at it.
        if (shown.problems.length > 0) return;
        const installation = await catalog.installation();
        await writeSnapshot(catalog, notes, installation, until);
        for (const name of read) if (!name.startsWith(`${installation}/`)) await notes.remove(name);
      });
      shown.state = 'done';
    } catch (error) {
      shown.state = signal.aborted ? 'cancelled' : 'failed';
      shown.error = Failure.of(error).message;
      log.error({ err: error }, 'the catalog could not be rebuilt');
    }
    shown.finishedAt = new Date().toISOString();
    await duty.end(false).catch(() => {});
    log.info({ ...shown, problems: shown.problems.length }, 'rebuild of the catalog ended');
  }

  /** Never rejects. */
  private async look(): Promise<void> {
    const { catalog, notes, log } = this.ports;
    let duty: Duty | undefined;
    try {
      // Somewhat less, so that a timer that is early is not a whole turn late.
      duty = await catalog.duties.take(DUTY, this.holder, LEASE_MS, this.every * 0.9);
      if (!duty) return;
      const installation = await catalog.installation();
      const state = await journalState(notes, installation);
      if (this.removed || wantsSnapshot(state)) {
        this.removed = false;
        const facts = await renewed(duty, (lost) =>
          writeSnapshot(catalog, notes, installation, AbortSignal.any([this.stopping.signal, lost])),
        );
        log.info({ facts, segments: state.segments }, 'journal beside the blobs written anew');
      }
      await duty.end(true);
    } catch (error) {
      if (!this.stopping.signal.aborted) log.warn({ error: String(error) }, 'cannot look after the journal');
      await duty?.end(false).catch(() => {});
    }
  }

  /** An empty catalog beside a store that is full was probably lost. */
  private async hint(): Promise<void> {
    const { catalog, notes, log } = this.ports;
    try {
      const [first] = await catalog.holdings.grants(undefined, 1);
      if (first || (await journalState(notes, await catalog.installation())).foreign === 0) return;
      log.warn({}, 'the catalog is empty and the store has the journal of another one: "ociregistry rebuild" reads it');
    } catch (error) {
      log.debug({ error: String(error) }, 'cannot look at the journal');
    }
  }
}

/** Keeps the lease while `work` runs, and tells it when the lease is lost. */
async function renewed<T>(duty: Duty, work: (lost: AbortSignal) => Promise<T>): Promise<T> {
  const lost = new AbortController();
  const timer = setInterval(() => {
    duty.renew(LEASE_MS).then(
      (held) => held || lost.abort(new Failure('UNAVAILABLE', 'another process works on the journal')),
      () => {},
    );
  }, LEASE_MS / 3);
  timer.unref();
  try {
    return await work(lost.signal);
  } finally {
    clearInterval(timer);
  }
}
