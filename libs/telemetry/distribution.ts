/** Upper bounds in seconds: a memory hit takes well under a millisecond, a large cold blob minutes. */
const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

/** Counts by size, as a Prometheus histogram has them; cheap enough for every request. */
export class Distribution {
  /** Observations up to each bound, not added up; the last is of all that is above. */
  readonly counts: Float64Array;
  sum = 0;

  constructor(readonly bounds: readonly number[] = SECONDS) {
    this.counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    let place = 0;
    while (place < this.bounds.length && value > this.bounds[place]!) place++;
    this.counts[place]!++;
    this.sum += value;
  }

  get count(): number {
    return this.counts.reduce((all, one) => all + one, 0);
  }
}
