/** Work that one process at a time does for all. Times are the database's clock. */
export interface DutyRoster {
  /**
   * Takes `name` for `leaseMs` when nobody holds it and it was last done at least `every` ms ago (0: whenever).
   * Undefined when it is not ours now.
   */
  take(name: string, holder: string, leaseMs: number, every?: number): Promise<Duty | undefined>;
}

/** A duty that this process holds; what outlives its lease may be done by another too. */
export interface Duty {
  /** False when another process has it meanwhile. */
  renew(leaseMs: number): Promise<boolean>;
  /** Lets go; with `done`, the next run is due after the interval. */
  end(done: boolean): Promise<void>;
}
