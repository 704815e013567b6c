/** Upper bounds in seconds: a memory hit takes well under a millisecond, a large cold blob minutes. */
const BOUNDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

/** Counts by size, as a Prometheus histogram has them; cheap enough for every request. */
export class Distribution {
  /** Observations up to each bound, not added up; the last is of all that is above. */
  readonly counts = new Float64Array(BOUNDS.length + 1);
  sum = 0;

  observe(value: number): void {
    let place = 0;
    while (place < BOUNDS.length && value > BOUNDS[place]!) place++;
    this.counts[place]!++;
    this.sum += value;
  }
}
