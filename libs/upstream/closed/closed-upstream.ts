import { type Descriptor, type Digest, Failure, type FailureReason, type Repository } from '#oci';
import type { BlobBody, FetchedManifest, ManifestHead, Upstream, UpstreamState } from '../port.js';

/** An upstream that is never asked: no socket, no name resolution. Everything that is not there is a 404 that says why. */
export class ClosedUpstream implements Upstream {
  constructor(
    private readonly reason: string,
    private readonly allowed: (host: string) => boolean,
  ) {}

  async headManifest(repository: Repository, reference: string): Promise<ManifestHead> {
    const fetched = await this.getManifest(repository, reference);
    return { ...fetched, size: fetched.bytes.length };
  }

  async getManifest(_repository: Repository, _reference: string): Promise<FetchedManifest> {
    throw this.absent('MANIFEST_UNKNOWN');
  }

  async headBlob(_repository: Repository, _digest: Digest): Promise<{ size?: number; ranges: boolean }> {
    throw this.absent('BLOB_UNKNOWN');
  }

  async getBlob(_repository: Repository, _digest: Digest): Promise<BlobBody> {
    throw this.absent('BLOB_UNKNOWN');
  }

  async listTags(_repository: Repository): Promise<string[]> {
    throw this.absent('NAME_UNKNOWN');
  }

  async listReferrers(_repository: Repository, _digest: Digest): Promise<Descriptor[]> {
    return [];
  }

  allows(host: string): boolean {
    return this.allowed(host);
  }

  states(): readonly UpstreamState[] {
    return [];
  }

  backgroundWait(): number {
    return 0;
  }

  rest(): void {}

  async close(): Promise<void> {}

  protected absent(reason: FailureReason): Failure {
    return new Failure(reason, this.reason, { origin: 'upstream' });
  }
}
