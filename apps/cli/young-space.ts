import { setFlagsFromString } from 'node:v8';

/** V8's own. */
const GROWTH = 2;

/**
 * Keeps the heap's space for young objects from growing. Loading code fills it once, and grown for that it would keep 30 MB (Node
 * 20) to 130 MB (Node 24) that an idle server never uses.
 */
export function keepYoungSpaceSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
}

/** From now on it grows with the load, as ever. */
export function letYoungSpaceGrow(): void {
  setFlagsFromString(`--semi-space-growth-factor=${GROWTH}`);
}
