import type { BlobBody } from '#upstream';

export interface DownloadOptions {
  /** Parallel connections for one blob at most. */
  readonly connections: number;
  /** Bytes a second of one connection above which another is not worth its cost to the upstream. */
  readonly fastEnough: number;
  /** Bytes a second averaged over `minRateWindow`; a slower connection is given up and opened anew. */
  readonly minRate: number;
  /** Milliseconds. */
  readonly minRateWindow: number;
  /** Tries in a row that bring no byte, or bring them too slowly, before the download fails. */
  readonly tries: number;
}

export const DOWNLOAD_DEFAULTS: DownloadOptions = {
  connections: 4,
  fastEnough: 32 * 2 ** 20,
  minRate: 1024,
  minRateWindow: 30_000,
  tries: 4,
};

export interface DownloadPorts {
  open(
    span: { offset: number; length?: number } | undefined,
    ifRange: string | undefined,
    signal: AbortSignal,
  ): Promise<BlobBody>;
  /** The first answer: the whole size in bytes, when known. */
  onSize(size: number | undefined): void;
  /** Takes bytes; its promise is the back-pressure. */
  write(offset: number, chunk: Buffer): Promise<void>;
  /** `fewer`: more connections than one were too many. */
  onEvent(event: 'resume' | 'restart' | 'connection' | 'fewer'): void;
}
