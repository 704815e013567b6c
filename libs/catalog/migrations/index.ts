import { Initial1764000000001 } from './0001-initial.js';
import { Upstreams1764000000002 } from './0002-upstreams.js';
import { Lists1764000000003 } from './0003-lists.js';
import { Keeping1764000000004 } from './0004-keeping.js';
import { Totals1764000000005 } from './0005-totals.js';
import { LastClient1764000000006 } from './0006-last-client.js';

/** In the order in which they run. Each released state has a dump in `dumps/`. */
export const migrations = [
  Initial1764000000001,
  Upstreams1764000000002,
  Lists1764000000003,
  Keeping1764000000004,
  Totals1764000000005,
  LastClient1764000000006,
];
