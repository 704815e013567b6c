import { Initial1764000000001 } from './0001-initial.js';

/** In the order in which they run. Each released state has a dump in `dumps/`. */
export const migrations = [Initial1764000000001];
