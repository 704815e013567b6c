interface Flight<T> {
  readonly current: Promise<T>;
  next?: Promise<T>;
}

/**
 * Callers of one key share runs, as with SingleFlight, but each gets the result of a run that began after it asked: who
 * comes while one flies shares the one that follows. So nobody is told what was true before something it knows of.
 *
 *   idle --run--> flying --run--> flying, one more waits --settle--> flying
 *                 flying --settle--> idle
 */
export class FreshFlight<T> {
  private readonly flights = new Map<string, Flight<T>>();

  run(key: string, work: () => Promise<T>): Promise<T> {
    const flight = this.flights.get(key);
    if (!flight) return this.start(key, work);
    flight.next ??= flight.current.then(
      () => this.start(key, work),
      () => this.start(key, work),
    );
    return flight.next;
  }

  private start(key: string, work: () => Promise<T>): Promise<T> {
    const current = (async () => work())();
    const flight: Flight<T> = { current };
    this.flights.set(key, flight);
    const ended = () => {
      if (!flight.next) this.flights.delete(key);
    };
    current.then(ended, ended);
    return current;
  }
}
