import type { IncomingMessage, ServerResponse } from 'node:http';
import { LRUCache } from 'lru-cache';
import { atMost } from '#async';
import type { ManifestRecord } from '#catalog';
import type { Digest } from '#oci';
import type { Asked, Registry } from '#registry';
import { blobHeaders } from './blob-response.js';
import { manifestHeaders } from './manifest-response.js';
import type { Observation, Tally } from './observation.js';

/** Request targets that are remembered, and the length of one in characters: some 20 MB at most. */
const MOST_TARGETS = 20_000;
const LONGEST_TARGET = 1024;
/** Milliseconds between two notes of an access by one target; the access times need no more. */
const NOTE_EVERY = 10_000;

/** A request target that was answered from memory, with all that the next request of it would work out again. */
interface Target {
  readonly kind: 'manifest' | 'blob';
  readonly asked: Asked;
  readonly ns: string | undefined;
  readonly tally: Tally;
  /** `performance.now()` of the last note of an access. */
  noted: number;
  /** Of the content that `headers` describe. */
  digest?: Digest;
  headers: string[];
}

/**
 * Answers what was answered from memory before, without routing it anew. What a target means depends on the configuration alone,
 * so a target is never taken back; whether this repository may have the content, which one a tag means and what its bytes
 * are is asked of the registry's memory every time. Requests with a header that the answer depends on go the usual way.
 */
export class WarmAnswers {
  private readonly targets = new LRUCache<string, Target>(atMost(MOST_TARGETS));

  constructor(
    private readonly registry: Registry,
    private readonly observation: Observation,
    private readonly nextId: () => string,
  ) {}

  /** Whether it did answer. */
  answer(req: IncomingMessage, res: ServerResponse): boolean {
    const head = req.method === 'HEAD';
    if (!head && req.method !== 'GET') return false;
    const target = this.targets.get(req.url!);
    if (target === undefined || !isPlain(req.rawHeaders)) return false;
    const started = performance.now();
    const bytes = target.kind === 'manifest' ? this.manifest(target) : this.blob(target);
    if (bytes === undefined) return false;
    res.writeHead(200, target.headers);
    if (head || bytes.length === 0) res.end();
    else res.end(bytes);
    const now = performance.now();
    const sent = head ? 0 : bytes.length;
    const level = this.observation.recalled(target.tally, sent, now - started);
    if (level) {
      const { repository, reference } = target.asked;
      const account = { started, kind: target.kind, repository, reference, hit: true, bytes: sent };
      this.observation.line(level, { req, id: this.nextId(), account }, now - started);
    }
    if (now - target.noted > NOTE_EVERY) {
      target.noted = now;
      this.observation.accessed(target.asked.repository, target.digest!, req);
    }
    return true;
  }

  /** `url` was answered from memory with what `asked` names. Not to be called when a header had a say in what it means. */
  learn(url: string, kind: Target['kind'], asked: Asked, ns: string | undefined): void {
    if (url.length > LONGEST_TARGET) return;
    const tally = this.observation.tallyOf(kind, asked.repository);
    this.targets.set(url, { kind, asked, ns, tally, noted: Number.NEGATIVE_INFINITY, headers: [] });
  }

  private manifest(target: Target): Buffer | undefined {
    const manifest: ManifestRecord | undefined = this.registry.recall(target.asked);
    if (manifest !== undefined && manifest.digest !== target.digest)
      describe(target, manifest.digest, manifestHeaders(manifest, manifest.bytes.length, target.asked.reference));
    return manifest?.bytes;
  }

  private blob(target: Target): Buffer | undefined {
    const bytes = this.registry.recallBlob(target.asked);
    if (bytes !== undefined && target.digest === undefined) {
      const digest = target.asked.reference as Digest;
      describe(target, digest, blobHeaders(digest, bytes.length));
    }
    return bytes;
  }
}

function describe(target: Target, digest: Digest, headers: string[]): void {
  if (target.ns !== undefined) headers.push('oci-namespace', target.ns);
  target.digest = digest;
  target.headers = headers;
}

/** Whether no header says more than the target does. Most requests have few, and none of these lengths. */
export function isPlain(rawHeaders: readonly string[]): boolean {
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    switch (name.length) {
      case 3:
        if (name.toLowerCase() === 'via') return false;
        break;
      case 5:
        if (name.toLowerCase() === 'range') return false;
        break;
      case 8:
        if (name.toLowerCase() === 'if-range') return false;
        break;
      case 10:
        if (name.toLowerCase() === 'x-registry') return false;
        break;
      case 13:
        if (name.toLowerCase() === 'if-none-match') return false;
    }
  }
  return true;
}
