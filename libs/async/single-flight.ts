/**
 * Callers of one key share one run, and its result or failure.
 *
 *   idle --run--> flying --settle--> idle
 */
export class SingleFlight<T> {
  private readonly flights = new Map<string, Promise<T>>();

  run(key: string, work: () => Promise<T>): Promise<T> {
    const flying = this.flights.get(key);
    if (flying) return flying;
    // `work` may throw synchronously; that is a rejection for every caller too.
    const flight = (async () => work())().finally(() => this.flights.delete(key));
    this.flights.set(key, flight);
    return flight;
  }

  get size(): number {
    return this.flights.size;
  }
}
