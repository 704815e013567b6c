import { randomUUID } from 'node:crypto';
import type { BlobStore } from '#blobs';
import type { Catalog } from '#catalog';
import type { Digest } from '#oci';
import type { Log } from '../ports.js';
import { notBeingRemoved, removeUnheld } from '../prune/remove-unheld.js';

interface HoldPorts {
  readonly catalog: Pick<Catalog, 'pruning' | 'pulls'>;
  readonly blobs: BlobStore;
  readonly log: Log;
}

/** Blobs of an import whose images are not told yet: no prune takes their bytes until `release`. */
export class HeldBlobs {
  private readonly name = randomUUID();
  private readonly digests = new Set<Digest>();

  constructor(private readonly ports: HoldPorts) {}

  /** Size in bytes of a stored blob, which stays from now on; undefined when it is not stored. */
  async hold(digest: Digest): Promise<number | undefined> {
    const { blobs, catalog } = this.ports;
    const stored = await blobs.stat(digest);
    if (!stored) return undefined;
    this.digests.add(digest);
    await catalog.pruning.hold(this.name, digest, stored.size);
    // A prune that looked before may remove them yet; one that looks later sees the hold.
    await notBeingRemoved(digest, catalog.pulls);
    return (await blobs.stat(digest))?.size;
  }

  /** What no repository holds by now goes; which that was. Never rejects. */
  async release(): Promise<readonly Digest[]> {
    const { catalog, log } = this.ports;
    if (this.digests.size === 0) return [];
    try {
      await catalog.pruning.letGo(this.name);
      return await removeUnheld([...this.digests], this.ports, `import ${this.name}`);
    } catch (error) {
      log.warn({ error: String(error) }, 'cannot remove what an import left in the blob store; a sweep will');
      return [];
    }
  }
}
