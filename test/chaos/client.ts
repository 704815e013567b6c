import { createHash } from 'node:crypto';
import { request } from 'node:http';
import type { BlobSource } from '../support/upstream/blobs.js';
import type { ChaosImage } from './images.js';
import type { Random } from './random.js';

/** How one request ended, as its client sees it. */
export interface Ending {
  readonly verdict:
    | 'right'
    /** A complete body of other bytes. */
    | 'wrong'
    /** Bytes came, then the connection broke. */
    | 'cut'
    /** Another status than 200 or 206; 0 when there was no answer at all. */
    | 'refused'
    /** The client went away in the middle. */
    | 'left'
    /** Nothing came for longer than anybody may have to wait. */
    | 'hung';
  readonly status: number;
  readonly what: string;
  /** Epoch milliseconds. */
  readonly from: number;
  readonly until: number;
  readonly bytes: number;
}

/** Milliseconds; far above every bound in the server. */
const HANG = 180_000;
/** A pull that failed is tried again, as real clients do, for longer than a run of blows at one server may last. */
const GIVE_UP = 180_000;
const RETRY_PAUSE = 500;

/** Pulls images as container runtimes do, through any gateway, and keeps account of every request. */
export class ChaosClient {
  constructor(
    private readonly gateways: () => readonly string[],
    private readonly upstream: string,
    private readonly random: Random,
    private readonly endings: Ending[],
  ) {}

  /** Resolves when all of it was had; throws when it cannot be had. */
  async pull({ manifest, repository, tag, blobs }: ChaosImage, byDigest = this.random.chance(0.3)): Promise<void> {
    const reference = byDigest ? manifest.digest : tag;
    await this.insist(`/v2/${this.upstream}/${repository}/manifests/${reference}`, manifest.digest, manifest.size);
    await Promise.all(
      blobs.map(async (blob) => {
        const path = `/v2/${this.upstream}/${repository}/blobs/${blob.digest}`;
        if (blob.size > 2 ** 20 && this.random.chance(0.25)) return this.insistOnParts(path, blob);
        if (this.random.chance(0.1)) await this.ask(path, blob.digest, blob.size, { leaveAfter: blob.size / 2 });
        await this.insist(path, blob.digest, blob.size);
      }),
    );
  }

  /** As a client that goes on where it was: two ranges, the second open-ended. */
  private async insistOnParts(path: string, blob: BlobSource): Promise<void> {
    const middle = this.random.int(1, blob.size);
    const parts: [number, number, string][] = [
      [0, middle, `bytes=0-${middle - 1}`],
      [middle, blob.size - middle, `bytes=${middle}-`],
    ];
    for (const [offset, length, range] of parts) {
      const hash = createHash('sha256');
      for (const chunk of blob.chunks(offset, length)) hash.update(chunk);
      await this.insist(path, `sha256:${hash.digest('hex')}`, length, range);
    }
  }

  private async insist(path: string, digest: string, size: number, range?: string): Promise<void> {
    for (const since = Date.now(); ; ) {
      const ending = await this.ask(path, digest, size, range ? { range } : {});
      if (ending.verdict === 'right') return;
      if (Date.now() - since > GIVE_UP) throw new Error(`${path} cannot be had: ${ending.verdict} ${ending.status}`);
      await new Promise((resolve) => setTimeout(resolve, RETRY_PAUSE));
    }
  }

  private async ask(
    path: string,
    digest: string,
    size: number,
    options: { range?: string; leaveAfter?: number },
  ): Promise<Ending> {
    const url = this.random.pick(this.gateways()) + path;
    const what = `${url}${options.range ? ` ${options.range}` : ''}`;
    const ending = await send(what, url, digest, size, options);
    this.endings.push(ending);
    return ending;
  }
}

function send(
  what: string,
  url: string,
  digest: string,
  size: number,
  { range, leaveAfter = Infinity }: { range?: string; leaveAfter?: number },
): Promise<Ending> {
  const from = Date.now();
  return new Promise((resolve) => {
    const hash = createHash('sha256');
    let bytes = 0;
    let status = 0;
    const end = (verdict: Ending['verdict']) => {
      clearTimeout(watch);
      resolve({ verdict, status, what, from, until: Date.now(), bytes });
      asked.destroy();
    };
    const watch = setTimeout(() => end('hung'), HANG);
    const broken = () => end(bytes > 0 ? 'cut' : 'refused');
    const asked = request(url, { agent: false, headers: range ? { range } : {} }, (answer) => {
      status = answer.statusCode ?? 0;
      if (status !== (range ? 206 : 200)) {
        answer.resume();
        return end('refused');
      }
      answer.on('data', (chunk: Buffer) => {
        watch.refresh();
        hash.update(chunk);
        bytes += chunk.length;
        if (bytes > leaveAfter) end('left');
      });
      answer.on('end', () => {
        if (!answer.complete) return broken();
        end(bytes === size && `sha256:${hash.digest('hex')}` === digest ? 'right' : 'wrong');
      });
      answer.on('error', broken);
    });
    asked.on('error', broken);
    asked.end();
  });
}
