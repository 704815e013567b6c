import { randomUUID } from 'node:crypto';
import type { Duty } from '#catalog';
import { type Digest, Failure, parseReference } from '#oci';
import type { PresenceOptions } from '../preload/presence.js';
import { CheckRun } from './check-run.js';
import type { RepairPorts } from './repair.js';

export interface VerifyRequest {
  /** One image; everything when neither this nor `patterns` is given. */
  readonly image?: string;
  /** As `ContentFilter` has them. */
  readonly patterns?: readonly string[];
  /** Bytes are read and hashed, too; else only sizes are compared. */
  readonly deep: boolean;
  /** What is bad or lost is dropped and fetched anew, bytes that nothing refers to are removed. */
  readonly repair: boolean;
  /** Bytes a second that are read at most. */
  readonly rate: number;
}

export interface VerifyProblem {
  readonly kind: 'blob' | 'manifest';
  readonly digest: Digest;
  /** `missing`: no bytes. `size`: too many or too few. `bytes`: others than the digest says. */
  readonly problem: 'missing' | 'size' | 'bytes';
  readonly outcome: 'found' | 'repaired' | 'dropped';
  /** Why it could not be fetched. */
  readonly reason?: string;
}

export interface VerifyJob {
  readonly id: string;
  readonly state: 'running' | 'done' | 'failed' | 'cancelled';
  /** RFC 3339. */
  readonly startedAt: string;
  readonly finishedAt?: string;
  readonly request: VerifyRequest;
  /** All there is to check; absent where nobody has counted it. */
  readonly total?: { readonly objects: number; readonly bytes: number };
  readonly objects: number;
  /** Of the objects that were checked, whether they were read or not. */
  readonly bytes: number;
  readonly bad: number;
  readonly repaired: number;
  /** At most 1,000. */
  readonly problems: readonly VerifyProblem[];
  /** Bytes in the store that nothing refers to, older than a day. */
  readonly orphans: { readonly blobs: number; readonly bytes: number; readonly removed: number };
  readonly error?: string;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
/** A job while it runs. */
export type Findings = Mutable<Omit<VerifyJob, 'problems' | 'orphans'>> & {
  problems: VerifyProblem[];
  orphans: Mutable<VerifyJob['orphans']>;
};
interface Job {
  readonly shown: Findings;
  readonly cancel: AbortController;
  end: Promise<void>;
}

export interface VerifierOptions extends PresenceOptions {
  /** This process. */
  readonly holder: string;
  /** Milliseconds after which bytes without a row are nobody's: no import or pull takes so long to tell of them. */
  readonly orphanAge: number;
}

const LEASE_MS = 60_000;
const KEPT = 20;

/** Checks what is stored against what is known, in the background and at a bounded rate; one at a time in an installation. */
export class Verifier {
  /** In order of their start. */
  private readonly jobs = new Map<string, Job>();

  constructor(
    private readonly ports: RepairPorts,
    private readonly options: VerifierOptions,
  ) {}

  /** Starts and does not wait. Rejects with Failure: UNAVAILABLE when one runs, or what is wrong with the image's name. */
  async start(request: VerifyRequest): Promise<VerifyJob> {
    if (request.image !== undefined) parseReference(request.image);
    const duty = await this.ports.catalog.duties.take('verify', this.options.holder, LEASE_MS);
    if (!duty) throw new Failure('UNAVAILABLE', 'another verification is running', { retryAfter: 30 });
    return this.begin(request, duty);
  }

  /** Compares sizes unless some process did within `every` ms. Undefined when there is nothing to do. */
  async selfCheck(rate: number, every: number): Promise<VerifyJob | undefined> {
    const duty = await this.ports.catalog.duties.take('self-check', this.options.holder, LEASE_MS, every);
    return duty && this.begin({ deep: false, repair: false, rate }, duty);
  }

  find(id: string): VerifyJob | undefined {
    return this.jobs.get(id)?.shown;
  }

  /** Latest first. */
  list(): VerifyJob[] {
    return [...this.jobs.values()].map(({ shown }) => shown).reverse();
  }

  async end(id: string): Promise<void> {
    await this.jobs.get(id)?.end;
  }

  async cancel(id: string): Promise<VerifyJob | undefined> {
    const job = this.jobs.get(id);
    job?.cancel.abort(new Failure('UNAVAILABLE', 'the verification was cancelled', { retryable: false }));
    await job?.end;
    return job?.shown;
  }

  async close(): Promise<void> {
    await Promise.all([...this.jobs.keys()].map((id) => this.cancel(id)));
    this.ports.waits.close();
  }

  private begin(request: VerifyRequest, duty: Duty): VerifyJob {
    const shown: Findings = {
      id: randomUUID(),
      state: 'running',
      startedAt: new Date().toISOString(),
      request,
      objects: 0,
      bytes: 0,
      bad: 0,
      repaired: 0,
      problems: [],
      orphans: { blobs: 0, bytes: 0, removed: 0 },
    };
    const job: Job = { shown, cancel: new AbortController(), end: Promise.resolve() };
    job.end = this.run(job, duty);
    this.jobs.set(shown.id, job);
    for (const [id, { shown: old }] of this.jobs)
      if (this.jobs.size > KEPT && old.state !== 'running') this.jobs.delete(id);
    return shown;
  }

  /** Never rejects. */
  private async run({ shown, cancel }: Job, duty: Duty): Promise<void> {
    const { log } = this.ports;
    const renewing = setInterval(() => {
      duty.renew(LEASE_MS).then(
        (held) => held || cancel.abort(new Failure('UNAVAILABLE', 'another process verifies now', { retryable: true })),
        (error: unknown) => log.warn({ error: String(error) }, 'cannot renew the lease of a verification'),
      );
    }, LEASE_MS / 3);
    renewing.unref();
    try {
      await new CheckRun(shown, this.ports, this.options, cancel.signal).run();
      shown.state = 'done';
    } catch (error) {
      shown.state = cancel.signal.aborted ? 'cancelled' : 'failed';
      if (shown.state === 'failed') shown.error = Failure.of(error).message;
      if (shown.state === 'failed') log.error({ err: error }, 'a verification broke off');
    } finally {
      clearInterval(renewing);
      shown.finishedAt = new Date().toISOString();
      await duty.end(shown.state === 'done').catch(() => {});
    }
    const { id, state, objects, bytes, bad, repaired, orphans } = shown;
    const told = { verify: id, state, objects, bytes, bad, repaired, orphans: orphans.blobs };
    if (bad > repaired) log.warn(told, 'stored content is damaged or lost');
    else log.info(told, 'verification ended');
  }
}
