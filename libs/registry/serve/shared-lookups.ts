import { FreshFlight } from '#async';
import type { Catalog, ManifestRecord, TagRecord } from '#catalog';
import type { Digest, Repository } from '#oci';

/** What requests ask of the catalog. */
export type Lookups = Pick<Catalog, 'findTag' | 'findManifest' | 'findBlob' | 'forgetBlob'>;

/**
 * The catalog, asked once for what many requests want to know at the same moment: a herd of clients on one object costs
 * the database a query or two, and does not wait in line for its connections.
 */
export class SharedLookups implements Lookups {
  private readonly tags = new FreshFlight<(TagRecord & { readonly manifest: ManifestRecord }) | undefined>();
  private readonly manifests = new FreshFlight<ManifestRecord | undefined>();
  private readonly blobs = new FreshFlight<{ readonly size: number } | undefined>();

  constructor(private readonly catalog: Lookups) {}

  findTag(repository: Repository, tag: string) {
    return this.tags.run(keyOf(repository, tag), () => this.catalog.findTag(repository, tag));
  }

  findManifest(repository: Repository, digest: Digest) {
    return this.manifests.run(keyOf(repository, digest), () => this.catalog.findManifest(repository, digest));
  }

  findBlob(repository: Repository, digest: Digest) {
    return this.blobs.run(keyOf(repository, digest), () => this.catalog.findBlob(repository, digest));
  }

  forgetBlob(digest: Digest): Promise<void> {
    return this.catalog.forgetBlob(digest);
  }
}

function keyOf({ upstream, path }: Repository, reference: string): string {
  return `${upstream}\0${path}\0${reference}`;
}
