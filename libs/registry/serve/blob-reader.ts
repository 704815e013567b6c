import { backoff, sleep } from '#async';
import { type BlobStore, type Sink, type Span, VERIFIED_WHEN_READ } from '#blobs';
import { type PullSource, pullKey } from '#bus';
import { type Digest, Failure, hasherFor, type Repository } from '#oci';
import type { Fingerprint, Log, ReadOptions, RunningTransfer } from '../ports.js';
import type { PullRequest, PullWaits } from '../pulls/pull-waits.js';
import { pullLog } from '../pulls/running-pull.js';
import { TAIL } from '../transfers/transfer.js';
import type { FactCache } from './fact-cache.js';
import { matches } from './fingerprints.js';
import type { Lookups } from './shared-lookups.js';

type Place = { readonly state: 'stored' } | { readonly state: 'running'; readonly transfer: RunningTransfer };

/** Milliseconds that a client without a byte yet waits for a store that is away. */
const STORE_PATIENCE = 8_000;
/** Milliseconds until the bytes are fetched although a store that is away has them. */
const STORE_BLIP = 3_000;
/** How often a store may lose a blob under one reader, which each time costs the upstream another fetch. */
const MOST_LOSSES = 3;
/** How many pulls in a row may fail for our own trouble before a reader does; each costs the upstream a fetch. */
const MOST_FAILED_PULLS = 3;
/** Milliseconds between two tries that brought nothing, at first and at most. */
const FIRST_PAUSE = 10;
const LONGEST_PAUSE = 1_000;

/**
 * Reads one blob for one client, wherever its bytes are: in the store, or in a transfer that still runs. When the place
 * fails (a puller died, an object was lost), it goes on at its offset in the next one.
 */
export class BlobReader {
  constructor(
    private readonly ports: { blobs: BlobStore; catalog: Lookups; waits: PullWaits; log: Log },
    private readonly facts: FactCache,
    private request: PullRequest,
    /** Bytes. */
    readonly size: number,
    private place: Place,
    /** How it comes to the client: nothing had to be fetched; a fetch of others is shared; it is fetched for this one. */
    readonly origin: 'hit' | 'joined' | 'fetched' = 'fetched',
    /** Who gives it, where the puller told. */
    readonly source?: PullSource,
  ) {}

  /** When a running transfer was found for it: epoch ms. */
  private readonly attached = this.place.state === 'running' ? Date.now() : undefined;

  /** Nothing had to be fetched for it. */
  get cached(): boolean {
    return this.origin === 'hit';
  }

  /**
   * Where the client may read the blob itself for `seconds`; undefined when it must read it here. Only of what is stored:
   * nobody is sent to bytes that still arrive, and a lost blob is found out by reading it.
   */
  async link(seconds: number): Promise<string | undefined> {
    if (this.place.state !== 'stored' || this.size <= VERIFIED_WHEN_READ) return undefined;
    return this.ports.blobs.link(this.digest, seconds);
  }

  /** Rejects when the rest cannot be had: the client's connection must then be cut, never ended. */
  async read(span: Span, sink: Sink, options: ReadOptions = {}): Promise<void> {
    if (this.place.state === 'stored' && this.size <= VERIFIED_WHEN_READ) {
      const bytes = this.facts.blobBytes(this.repository, this.digest) ?? (await this.load(options.signal));
      if (bytes) return await sink.write(bytes.subarray(span.offset, span.offset + span.length));
    }
    let position = span.offset;
    const end = span.offset + span.length;
    const counting: Sink = {
      write: (chunk) => {
        position += chunk.length;
        return sink.write(chunk);
      },
    };
    // Of earlier transfers whose bytes the client has, although nobody verified them.
    const unverified = new Set<Fingerprint>();
    let place: Place | undefined = this.place;
    let lost = false;
    let losses = 0;
    let failedPulls = 0;
    let refetch = false;
    let stuck = { tries: 0, since: 0 };
    while (position < end) {
      const before = position;
      try {
        if (lost) await this.forget();
        lost = false;
        if (refetch) place = await this.anew(options.signal);
        place ??= await this.find(options.signal);
        if (unverified.size > 0 && end - position <= TAIL) {
          place = await this.committed(place, options.signal);
          await this.check(unverified, options.signal);
        }
        // With unverified bytes behind us, stop short of the end and check them first.
        const until = unverified.size > 0 && end - position > TAIL ? end - TAIL : end;
        const rest = { offset: position, length: until - position };
        if (place.state === 'running') {
          await place.transfer.read(rest, counting, options);
          // Only who reads its end from it too knows that it was verified.
          if (until < end) unverified.add(fingerprintOf(place.transfer));
        } else await this.ports.blobs.read(this.digest, rest, counting, options.signal);
      } catch (error) {
        options.signal?.throwIfAborted();
        const failure = Failure.of(error);
        if (position > before || stuck.tries === 0) stuck = { tries: 0, since: Date.now() };
        lost = place?.state === 'stored' && failure.reason === 'BLOB_UNKNOWN' && ++losses <= MOST_LOSSES;
        if (!place && failure.origin !== 'catalog' && ++failedPulls >= MOST_FAILED_PULLS) throw failure;
        const patience =
          failure.origin === 'store' && position === span.offset ? STORE_PATIENCE : this.ports.waits.timeout;
        if (!(lost || mayPass(failure)) || Date.now() - stuck.since >= patience) throw failure;
        if (place?.state === 'running' && position > span.offset) {
          unverified.add(fingerprintOf(place.transfer, failure));
        }
        this.log.info({ digest: this.digest, position, reason: failure.message }, 'blob goes on elsewhere');
        const away = failure.origin === 'store' && place?.state === 'stored' && !lost;
        refetch = away && Date.now() - stuck.since >= STORE_BLIP;
        place = undefined;
        await sleep(backoff(stuck.tries++, FIRST_PAUSE, LONGEST_PAUSE), options.signal);
      }
    }
  }

  private get digest(): Digest {
    return (this.request.target as { digest: Digest }).digest;
  }

  private get log(): Log {
    const { target, requestId } = this.request;
    return pullLog(this.ports.log, { key: pullKey(target), requestId });
  }

  private get repository(): Repository {
    return this.request.target.repository;
  }

  /**
   * The whole blob, verified and kept in memory. Undefined when the store cannot give all of it now, which the reader then
   * finds out, or gave other bytes than it was given (WIRE C58): those are dropped, and the place is where they come anew.
   */
  private async load(signal?: AbortSignal): Promise<Buffer | undefined> {
    const bytes = Buffer.allocUnsafeSlow(this.size);
    let length = 0;
    const sink: Sink = {
      write(chunk) {
        length += chunk.copy(bytes, length);
      },
    };
    await this.ports.blobs.read(this.digest, { offset: 0, length: this.size }, sink, signal).catch(() => {});
    if (length < this.size) return undefined;
    const hasher = hasherFor(this.digest);
    hasher.update(bytes);
    if (hasher.digest() === this.digest) {
      this.facts.addBlobBytes(this.digest, bytes);
      return bytes;
    }
    this.log.error({ digest: this.digest }, 'a stored blob was damaged and is fetched anew');
    // The bytes before the row: a puller that looks for bytes without a row must not find these.
    await this.ports.blobs.remove(this.digest);
    await this.forget();
    this.place = await this.find(signal);
    return undefined;
  }

  private async find(signal?: AbortSignal): Promise<Place> {
    const stored = await this.ports.catalog.findBlob(this.repository, this.digest).catch((error: unknown) => {
      this.log.debug({ error: String(error) }, 'cannot look a blob up, waiting for signals');
      return undefined;
    });
    if (stored) return { state: 'stored' };
    const outcome = await this.ports.waits.wait(this.request, {
      attach: true,
      patient: true,
      ...(signal ? { signal } : {}),
      ...(this.attached === undefined ? {} : { since: this.attached }),
    });
    return outcome.state === 'running' ? outcome : { state: 'stored' };
  }

  /** The store is away (WIRE C57): a transfer that runs has the bytes all the same. Undefined when there can be none. */
  private async anew(signal?: AbortSignal): Promise<Place | undefined> {
    try {
      const request = { ...this.request, refetch: true };
      const outcome = await this.ports.waits.wait(request, { attach: true, ...(signal ? { signal } : {}) });
      return outcome.state === 'running' ? outcome : undefined;
    } catch (error) {
      signal?.throwIfAborted();
      this.log.debug({ digest: this.digest, error: String(error) }, 'cannot be fetched instead');
      return undefined;
    }
  }

  /** Waits for the end of a running transfer. */
  private async committed(place: Place, signal?: AbortSignal): Promise<Place> {
    if (place.state === 'running' && !(await this.ports.catalog.findBlob(this.repository, this.digest)))
      await this.ports.waits.wait(this.request, { patient: true, ...(signal ? { signal } : {}) });
    return { state: 'stored' };
  }

  /** Compares what the client was given of earlier transfers with the verified bytes. */
  private async check(unverified: Set<Fingerprint>, signal?: AbortSignal): Promise<void> {
    for (const fingerprint of unverified) {
      if (
        !(await matches(fingerprint, this.size, (span, sink) => this.ports.blobs.read(this.digest, span, sink, signal)))
      ) {
        throw new Failure('UPSTREAM_CONTENT', 'a lost transfer had sent other bytes', {
          origin: 'upstream',
          retryable: false,
        });
      }
      unverified.delete(fingerprint);
    }
  }

  /** The row says that the bytes are there, the store has none or too few: they are fetched anew. */
  private async forget(): Promise<void> {
    this.facts.removeBlob(this.repository, this.digest);
    await this.ports.catalog.forgetBlob(this.digest);
    // So that the puller does not take what is left of them for the blob.
    const target = { kind: 'blob', repository: this.repository, digest: this.digest, size: this.size } as const;
    this.request = { ...this.request, target };
  }
}

/** Trouble of ours, not of the upstream's: the next place, or the same one later, may have the bytes. */
function mayPass({ retryable, origin, reason }: Failure): boolean {
  return retryable && origin !== 'upstream' && reason !== 'UPSTREAM_PAUSED';
}

/** Throws `failure` for a transfer of this process: what it has sent cannot be checked later. */
function fingerprintOf(
  transfer: RunningTransfer,
  failure = new Failure('UNAVAILABLE', 'the bytes of several transfers cannot be checked', { retryable: false }),
): Fingerprint {
  const fingerprint = transfer.fingerprint?.();
  if (!fingerprint) throw failure;
  return fingerprint;
}
