/**
 * Options of an LRUCache for at most `entries`. By its own `max` it takes room for all of them at once: 10 MB for 200,000 entries
 * that may never come.
 */
export function atMost(entries: number): { readonly maxSize: number; readonly sizeCalculation: () => number } {
  return { maxSize: entries, sizeCalculation: () => 1 };
}
