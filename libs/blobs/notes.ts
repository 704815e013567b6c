/**
 * Documents of ours beside the blobs, under `journal/`: written whole, read whole, a few thousand at most. Their names
 * are made of letters, digits, `.`, `_`, `-` and `/`.
 */
export interface Notes {
  /** Durable, and visible at once, when it resolves. */
  put(name: string, bytes: Buffer): Promise<void>;
  get(name: string): Promise<Buffer | undefined>;
  /** Not an error when absent. */
  remove(name: string): Promise<void>;
  /** In no order; sizes in bytes. */
  list(): AsyncIterable<{ readonly name: string; readonly size: number }>;
  close(): void;
}

const NAME = /^[\w.-]+(\/[\w.-]+)*$/;

export function checkNoteName(name: string): string {
  if (!NAME.test(name) || name.split('/').some((part) => part === '.' || part === '..'))
    throw new Error(`"${name}" is no name of a note`);
  return name;
}
