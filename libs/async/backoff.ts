/** Milliseconds to wait before try `attempt` (0, 1, ...): doubling from `first` to `most`, with up to 50 % taken off at random. */
export function backoff(attempt: number, first: number, most: number, random: () => number = Math.random): number {
  const full = Math.min(most, first * 2 ** Math.min(attempt, 30));
  return full * (1 - random() / 2);
}
