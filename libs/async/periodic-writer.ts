/** Writes what has come together every so often, when told to and at the end; never twice at a time. */
export abstract class PeriodicWriter {
  private readonly timer: NodeJS.Timeout;
  private writing: Promise<void> = Promise.resolve();

  /** `every`: milliseconds. Does not hold the process open. */
  constructor(every: number) {
    this.timer = setInterval(() => void this.flush(), every);
    this.timer.unref();
  }

  /** Never rejects. */
  flush(): Promise<void> {
    this.writing = this.writing.then(() => this.write());
    return this.writing;
  }

  /** The last write. */
  async close(): Promise<void> {
    clearInterval(this.timer);
    await this.flush();
  }

  /** Must not reject: what cannot be written now is kept for the next time. */
  protected abstract write(): Promise<void>;
}
