import type { MadeIndex } from '../../support/upstream/index.js';

/** What a client is given to pull. */
export interface Ground {
  /** `host:port` of the real upstream, to push to. */
  readonly upstream: string;
  /** The name that the upstream has inside paths; it can be written in an image reference. */
  readonly inPath: string;
  /** Below which the client's own image `v1` is, with that of every other name of the upstream. */
  readonly repository: string;
  readonly index: MadeIndex;
  /** Empty, for this client alone. */
  readonly directory: string;
  /** Where the client's program is. */
  readonly program: string;
}

/** A client that has been set up. */
export interface Session {
  /** Pulls through `gateway` (`host:port`) into nothing that it has kept, and throws when that is not what was pushed. */
  pull(gateway: string): Promise<void>;
  close?(): Promise<void>;
}

export interface Client {
  readonly name: string;
  /** How it tells where an image belongs. */
  readonly addressing: string;
  /** What scripts/services.mjs calls the program. */
  readonly program: string;
  /** Arguments with which the program tells its version; `package` where only its Debian package does. */
  readonly version: readonly string[] | 'package';
  /** It fetches a layer in several ranges at once. */
  readonly pieces?: boolean;
  open(ground: Ground): Promise<Session>;
}

export const PLATFORMS = ['linux/amd64', 'linux/arm64'] as const;

export function same(what: string, found: unknown, wanted: unknown): void {
  if (found !== wanted) throw new Error(`${what} is ${JSON.stringify(found)} instead of ${JSON.stringify(wanted)}`);
}
