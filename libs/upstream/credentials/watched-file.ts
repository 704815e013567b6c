import { readFile, stat } from 'node:fs/promises';

/** Milliseconds that a look at the file is good for. */
const BELIEVED = 2_000;
const MAX_SIZE = 1024 * 1024;

/**
 * What a file holds, read again when it has changed. While a new version cannot be read (it is missing for a moment, or half
 * written) the last good one holds. Polled by its state, since watches miss the symbolic links of Kubernetes.
 */
export class WatchedFile<T> {
  private value: T | undefined;
  private version = '';
  private checked = 0;
  private looking: Promise<void> | undefined;

  constructor(
    private readonly path: string,
    /** Undefined, or an exception, for what is not a complete file. */
    private readonly parse: (text: string) => T | undefined,
  ) {}

  async read(): Promise<T | undefined> {
    if (Date.now() - this.checked >= BELIEVED) {
      this.looking ??= this.look().finally(() => {
        this.looking = undefined;
      });
      await this.looking;
    }
    return this.value;
  }

  expire(): void {
    this.checked = 0;
  }

  private async look(): Promise<void> {
    try {
      const { mtimeMs, ctimeMs, ino, size } = await stat(this.path);
      const version = `${mtimeMs} ${ctimeMs} ${ino} ${size}`;
      if (version !== this.version && size <= MAX_SIZE) {
        const value = this.parse(await readFile(this.path, 'utf8'));
        if (value !== undefined) {
          this.value = value;
          this.version = version;
        }
      }
    } catch {
      // The last good version holds.
    }
    this.checked = Date.now();
  }
}
