import type { BlobStore, Ingest } from '#blobs';
import { type Digest, Failure, hasherFor, isDigest } from '#oci';
import {
  type Archive,
  type ArchiveEntry,
  type Aside,
  badArchive,
  linkPath,
  memberPath,
  type Scratch,
} from './archive.js';
import type { HeldBlobs } from './held-blobs.js';

/** What an archive holds, once all of it was read: bytes with the digests they claimed are in the store, the rest is aside. */
export interface Contents {
  /** JSON at the root: `index.json`, `manifest.json`. */
  readonly documents: ReadonlyMap<string, Buffer>;
  /** Files that are no blobs by name, by path. */
  readonly files: ReadonlyMap<string, Aside>;
  /** Small JSON with a digest: manifests and configs. */
  readonly small: ReadonlyMap<Digest, Aside>;
  /** In the blob store, verified; its size. */
  readonly stored: ReadonlyMap<Digest, number>;
  /** Of `stored`, those that this archive has brought. */
  readonly fresh: ReadonlySet<Digest>;
}

/** Most bytes of one JSON document; a manifest may have 4 MiB (WIRE). */
const MAX_DOCUMENT = 4 * 2 ** 20;
const COMMITS = 4;
const ROOT_DOCUMENTS = new Set(['index.json', 'manifest.json', 'oci-layout', 'repositories', 'ociregistry.json']);
const MAX_ROOT_DOCUMENT = 64 * 2 ** 20;
const OCI_BLOB = /^blobs\/(sha256|sha512)\/([0-9a-f]+)$/;
/** As the Go server keeps blobs. */
const BARE_BLOB = /^blobs\/([0-9a-f]{64})$/;

/** Reads an archive once, from front to back. What it needs of the store is held, and goes with `HeldBlobs.release`. */
export class ArchiveReader implements Contents {
  readonly documents = new Map<string, Buffer>();
  readonly files = new Map<string, Aside>();
  readonly small = new Map<Digest, Aside>();
  readonly stored = new Map<Digest, number>();
  readonly fresh = new Set<Digest>();
  private readonly seen = new Set<string>();
  /** Blobs that are read, and being made durable. */
  private readonly committing = new Set<Promise<void>>();
  private failure?: { readonly error: unknown };
  private readonly links: { readonly path: string; readonly to: string }[] = [];

  constructor(
    private readonly blobs: BlobStore,
    private readonly held: HeldBlobs,
    private readonly scratch: Scratch,
  ) {}

  async read(archive: Archive, signal?: AbortSignal): Promise<void> {
    try {
      for await (const entry of archive) {
        signal?.throwIfAborted();
        const path = memberPath(entry.path);
        if (this.seen.has(path)) throw badArchive(`the archive has "${path}" twice`);
        this.seen.add(path);
        if (entry.link !== undefined)
          this.links.push({ path, to: linkPath(path, entry.link, entry.symbolic === true) });
        else await this.take(path, entry);
      }
    } finally {
      // What becomes visible in spite of a failure is held, and goes again.
      await Promise.all(this.committing);
    }
    this.check();
    for (const { path, to } of this.links) this.follow(path, to);
  }

  /** Puts bytes that are aside into the store. */
  async store(digest: Digest, aside: Aside): Promise<void> {
    if (this.stored.has(digest)) return;
    await this.ingest(digest, aside.size, this.scratch.read(aside));
    await Promise.all(this.committing);
    this.check();
  }

  async document(aside: Aside): Promise<Buffer> {
    if (aside.size > MAX_DOCUMENT)
      throw badArchive(`the manifest ${aside.digest} is larger than ${MAX_DOCUMENT} bytes`);
    return collect(this.scratch.read(aside));
  }

  private async take(path: string, entry: ArchiveEntry): Promise<void> {
    if (ROOT_DOCUMENTS.has(path)) {
      if (entry.size > MAX_ROOT_DOCUMENT) throw badArchive(`${path} is larger than ${MAX_ROOT_DOCUMENT} bytes`);
      this.documents.set(path, await collect(entry.body));
      return;
    }
    const digest = digestOfPath(path);
    if (!digest) {
      this.files.set(path, await this.scratch.append(entry.body));
      return;
    }
    const { first, all } = await peek(entry.body);
    if (entry.size > MAX_DOCUMENT || !/^\s*\{/.test(first.toString('latin1', 0, 64)))
      return this.ingest(digest, entry.size, all);
    this.small.set(digest, await this.scratch.append(verified(digest, all)));
  }

  private async ingest(digest: Digest, size: number, body: AsyncIterable<Buffer>): Promise<void> {
    const held = await this.held.hold(digest);
    if (held !== undefined) {
      // Read all the same: an archive that is damaged must not pass because we know better.
      for await (const _ of verified(digest, body));
      this.stored.set(digest, held);
      return;
    }
    // The disk makes one blob durable while the next one is read.
    while (this.committing.size >= COMMITS) await Promise.race(this.committing);
    this.check();
    const ingest = await this.blobs.ingest(digest, { size });
    try {
      let at = 0;
      for await (const chunk of body) {
        await ingest.write(at, chunk);
        at += chunk.length;
      }
    } catch (error) {
      await ingest.release();
      throw blamed(digest, error);
    }
    const committing = this.commit(ingest, size)
      .catch((error: unknown) => {
        this.failure ??= { error: blamed(digest, error) };
      })
      .finally(() => this.committing.delete(committing));
    this.committing.add(committing);
  }

  private check(): void {
    if (this.failure) throw this.failure.error;
  }

  private async commit(ingest: Ingest, size: number): Promise<void> {
    const { digest } = ingest;
    try {
      await ingest.commit();
      if ((await this.held.hold(digest)) === undefined)
        throw new Failure('UNAVAILABLE', `a prune removed ${digest} just now; load the archive again`, {
          retryAfter: 1,
        });
      this.stored.set(digest, size);
      this.fresh.add(digest);
    } finally {
      await ingest.release();
    }
  }

  /** Links of `docker save` name layers that several images share. */
  private follow(path: string, to: string): void {
    const aside = this.files.get(to);
    if (aside) {
      this.files.set(path, aside);
      return;
    }
    if (this.links.some((other) => other.path === to)) throw badArchive(`the link "${path}" points to another link`);
    if (!this.seen.has(to)) throw badArchive(`the link "${path}" points to "${to}", which is not in the archive`);
    const digest = digestOfPath(to);
    const small = digest && this.small.get(digest);
    if (small) this.files.set(path, small);
  }
}

function blamed(digest: Digest, error: unknown): unknown {
  if (!(error instanceof Failure) || error.reason !== 'UPSTREAM_CONTENT') return error;
  return badArchive(`the bytes of ${digest} in the archive are others: ${error.message}`, error);
}

export function digestOfPath(path: string): Digest | undefined {
  const oci = OCI_BLOB.exec(path);
  const digest = oci ? `${oci[1]}:${oci[2]}` : BARE_BLOB.test(path) ? `sha256:${path.slice('blobs/'.length)}` : '';
  return isDigest(digest) ? digest : undefined;
}

async function collect(body: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of body) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

async function peek(body: AsyncIterable<Buffer>): Promise<{ first: Buffer; all: AsyncIterable<Buffer> }> {
  const rest = body[Symbol.asyncIterator]();
  const { value, done } = await rest.next();
  const first = done ? Buffer.alloc(0) : (value as Buffer);
  const all = (async function* () {
    yield first;
    for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value;
  })();
  return { first, all };
}

/** Passes a body on and rejects at its end when the digest is another. */
async function* verified(digest: Digest, body: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const hasher = hasherFor(digest);
  for await (const chunk of body) {
    hasher.update(chunk);
    yield chunk;
  }
  const actual = hasher.digest();
  if (actual !== digest) throw badArchive(`the bytes of ${digest} in the archive are those of ${actual}`);
}
