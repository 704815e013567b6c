import type { Failure } from '#oci';
import type { BlobBody } from '#upstream';

/** `Upstream.getBlob` of the one blob. */
export type OpenBlob = (
  span: { offset: number; length?: number } | undefined,
  options: { signal: AbortSignal; ifRange?: string },
) => Promise<BlobBody>;

export interface TransferEvents {
  onEvent?(event: 'resume' | 'restart' | 'connection' | 'fewer' | 'withheld' | 'full'): void;
  onFirstByte?(): void;
  /** All bytes, verified, of a blob that readers keep in memory; its own to keep. */
  onSmall?(bytes: Buffer): void;
  /** Nobody reads any more (`true`) or somebody does again. */
  onIdle?(idle: boolean): void;
  /** There is no room for the blob: who reads it while it is here is served, and nobody later. */
  onFull?(failure: Failure): void;
}
