import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Deferred, sleep } from '#async';
import type { BlobStore } from '#blobs';
import { createFsBlobStore } from '#blobs/adapters';
import { EVENT_MAJOR, type Lane, type PullRequested, pullKey, type SignalName, type Signals, type Verdict } from '#bus';
import { InProcessBus } from '#bus/adapters';
import type { Catalog, PullRow } from '#catalog';
import { type Digest, digestOf, Failure, type Target } from '#oci';
import {
  ContentRules,
  DOWNLOAD_DEFAULTS,
  FactCache,
  type Log,
  PullWaits,
  PullWorker,
  Registry,
  Transfers,
} from '#registry';
import { HttpRelays, RelayServer } from '#relay';
import type { BlobBody, Upstream } from '#upstream';
import { bytesOf, generatedSource } from '../support/upstream/blobs.js';

const log: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const repository = { upstream: 'model.example', path: 'images/app' };
/** Above what is verified before its first byte, so that readers attach while it flows. */
const SIZE = 1.5 * 2 ** 20;
const FLOWS = 2 ** 20;
/** Longer than a run: leases end when the test says so. */
const LEASE = 3_600_000;
/** A postponed message is deliverable again after one tick of the queue. */
const REDELIVERY = 30;

export type Answer = 'right' | 'wrong' | 'broken';

/** The queue is the product's; signals may be lost, as NATS may lose them. */
class LossyBus extends InProcessBus {
  deaf = false;

  override signal<N extends SignalName>(name: N, payload: Signals[N]): void {
    if (!this.deaf) super.signal(name, payload);
  }
}

/** One GET that has sent its first MiB and waits to be told how it goes on. */
interface OpenGet {
  readonly puller: Puller;
  readonly answer: Deferred<Answer>;
}

/** A puller process: what it is given stops working when it is killed, whatever it is in the middle of. */
export class Puller {
  readonly transfers = new Transfers();
  readonly relay = new RelayServer(this.transfers, log);
  readonly worker: PullWorker;
  /** Messages it works on, and when it has answered for each. */
  readonly busy = new Map<Lane, { entry: NonNullable<ReturnType<InProcessBus['next']>>; ended: Promise<void> }>();
  relayUrl = '';
  dead = false;

  constructor(
    readonly name: string,
    private readonly system: System,
  ) {
    const { catalog, bus, blobs } = system;
    const url = () => this.relayUrl;
    this.worker = new PullWorker(
      {
        catalog: this.mortal(catalog),
        blobs: this.mortal(blobs),
        bus: this.mortal(bus),
        upstream: system.upstreamOf(this),
        transfers: this.transfers,
        content: new ContentRules(new Map()),
        log,
      },
      {
        worker: name,
        lease: LEASE,
        attempts: 1_000,
        get relayUrl() {
          return url();
        },
        download: () => DOWNLOAD_DEFAULTS,
        prefetch: { enabled: false, platforms: [], referrers: false },
        unreadFor: LEASE,
        firstByteWithin: LEASE,
      },
    );
  }

  async start(): Promise<void> {
    const port = await this.relay.listen(0, '127.0.0.1');
    this.relayUrl = `http://127.0.0.1:${port}`;
  }

  /** Works on the next message of the lane. Resolves with false when there is none. */
  take(lane: Lane): boolean {
    const entry = this.system.bus.next(lane);
    if (!entry) return false;
    const ended = this.worker
      .handle(entry.raw as PullRequested, { lane, working: () => {}, release: () => {} })
      .then((verdict) => this.settle(lane, verdict));
    this.busy.set(lane, { entry, ended });
    return true;
  }

  private settle(lane: Lane, { verdict }: Verdict): void {
    const work = this.busy.get(lane);
    if (this.dead || !work) return;
    this.busy.delete(lane);
    if (verdict === 'done') this.system.bus.done(work.entry);
    else this.system.bus.postpone(work.entry, 0);
  }

  /** SIGKILL: nothing is told to anybody, its connections break, its messages are delivered again. */
  async kill(): Promise<void> {
    this.dead = true;
    this.transfers.cancelAll(new Failure('UNAVAILABLE', 'killed'));
    await this.relay.close();
    for (const { entry } of this.busy.values()) this.system.bus.postpone(entry, 0);
    await sleep(REDELIVERY);
  }

  /** SIGTERM while it is busy: what runs is interrupted and handed back. */
  async stop(): Promise<void> {
    this.worker.stop();
    await Promise.all([...this.busy.values()].map(({ ended }) => ended));
    await this.relay.close();
    this.dead = true;
    await sleep(REDELIVERY);
  }

  private mortal<T extends object>(port: T): T {
    return new Proxy(port, {
      get: (target, key) => {
        const value: unknown = Reflect.get(target, key);
        if (key === 'pulls') return this.mortal(value as object);
        if (typeof value !== 'function') return value;
        return (...given: unknown[]) => (this.dead ? new Promise(() => {}) : value.apply(target, given));
      },
    });
  }
}

/** Two gateways, two pullers and all between them, with one blob to pull; only the upstream and the course of time are not real. */
export class System {
  readonly bus = new LossyBus();
  readonly blobs: BlobStore;
  readonly digest: Digest;
  readonly pullers: Puller[] = [];
  readonly gateways: { readonly registry: Registry; readonly waits: PullWaits; readonly relays: HttpRelays }[];
  readonly gets: OpenGet[] = [];
  fetches = 0;
  private readonly directory = mkdtempSync(join(tmpdir(), 'ociregistry-model-'));
  private readonly bytes: Buffer;
  private born = 0;

  private constructor(
    readonly catalog: Catalog,
    seed: number,
  ) {
    this.bytes = bytesOf(generatedSource({ size: SIZE, seed }));
    this.digest = digestOf(this.bytes);
    this.blobs = createFsBlobStore({ path: this.directory });
    this.gateways = [0, 1].map(() => this.gateway());
  }

  static async start(catalog: Catalog, seed: number): Promise<System> {
    const system = new System(catalog, seed);
    system.bus.attach(() => {});
    for (let i = 0; i < 2; i++) system.pullers.push(await system.startPuller());
    return system;
  }

  get target(): Target {
    return { kind: 'blob', repository, digest: this.digest };
  }

  /** A client's download; resolves with how it ended. */
  async pull(gateway: number): Promise<string> {
    const chunks: Buffer[] = [];
    try {
      const blob = await this.gateways[gateway]!.registry.blob(repository, this.digest, {});
      await blob.read({ offset: 0, length: blob.size }, { write: (chunk) => void chunks.push(Buffer.from(chunk)) });
    } catch (error) {
      return Failure.of(error).reason;
    }
    return Buffer.concat(chunks).equals(this.bytes) ? 'right' : 'WRONG BYTES';
  }

  async prefetch(): Promise<void> {
    const { target } = this;
    const what = { v: EVENT_MAJOR, key: pullKey(target), target } as const;
    await this.bus.requestPull({ ...what, lane: 'background', cause: 'prefetch' });
  }

  async replace(number: number): Promise<void> {
    this.pullers[number] = await this.startPuller();
  }

  async held(): Promise<boolean> {
    return (await this.catalog.findBlob(repository, this.digest)) !== undefined;
  }

  row(key: string): Promise<PullRow | undefined> {
    return this.catalog.pulls.find(key);
  }

  openGets(): OpenGet[] {
    return this.gets.filter(({ puller }) => !puller.dead);
  }

  spool(): string[] {
    return readdirSync(this.directory).includes('ingest') ? readdirSync(join(this.directory, 'ingest')) : [];
  }

  async close(): Promise<void> {
    for (const { registry, relays } of this.gateways) {
      registry.close();
      relays.close();
    }
    await Promise.all(this.pullers.map((puller) => puller.kill()));
    await this.bus.close();
    await this.blobs.close();
    rmSync(this.directory, { recursive: true, force: true });
  }

  upstreamOf(puller: Puller): Upstream {
    const getBlob: Upstream['getBlob'] = async (_repository, _digest, _span, options) => {
      this.fetches++;
      const get: OpenGet = { puller, answer: new Deferred<Answer>() };
      this.gets.push(get);
      options?.signal?.addEventListener('abort', () => get.answer.reject(options.signal?.reason), { once: true });
      return { offset: 0, size: SIZE, ranges: false, body: this.body(get), abort: () => {} } satisfies BlobBody;
    };
    const headBlob: Upstream['headBlob'] = async () => ({ size: SIZE, ranges: false });
    return { getBlob, headBlob, backgroundWait: () => 0 } as unknown as Upstream;
  }

  private async *body(get: OpenGet): AsyncGenerator<Buffer> {
    yield this.bytes.subarray(0, FLOWS);
    const answer = await get.answer.promise;
    if (answer === 'broken')
      throw new Failure('UPSTREAM_ERROR', 'it broke for good', { origin: 'upstream', retryable: false });
    const rest = Buffer.from(this.bytes.subarray(FLOWS));
    if (answer === 'wrong') rest[0]! ^= 0xff;
    yield rest;
  }

  private async startPuller(): Promise<Puller> {
    const puller = new Puller(`puller ${this.born++}`, this);
    await puller.start();
    return puller;
  }

  private gateway() {
    const relays = new HttpRelays(new Transfers(), { idleTimeout: 60_000, log });
    const waits = new PullWaits(this.bus, this.catalog.pulls, relays, log, {
      timeout: 60_000,
      poll: 25,
      busPatience: 60_000,
    });
    const rule = { fresh: 60_000, stale: 60_000 };
    const facts = new FactCache({ manifestBytes: 1024, blobBytes: 1024, tagTtl: 1, negativeTtl: 1, retryAfter: 1 });
    const registry = new Registry(
      { catalog: this.catalog, blobs: this.blobs, bus: this.bus, waits, facts, log },
      {
        airGapped: false,
        revalidateTimeout: 1_000,
        tagRule: () => rule,
        lists: { rule: rule, emptyFor: 1 },
      },
    );
    return { registry, waits, relays };
  }
}
