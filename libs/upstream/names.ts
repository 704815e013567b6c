import { type LookupAddress, type LookupOptions, lookup as systemLookup } from 'node:dns';
import type { LookupFunction } from 'node:net';
import { LRUCache } from 'lru-cache';
import { SingleFlight, within } from '#async';

type Resolve = (hostname: string, options: LookupOptions) => Promise<LookupAddress[]>;

interface Known {
  readonly addresses: LookupAddress[];
  /** Epoch milliseconds. */
  readonly since: number;
}

const MOST_NAMES = 1_000;
/** Milliseconds that addresses are used without a question. */
const FRESH = 30_000;
/** Milliseconds that they serve while DNS gives no answer, and within how many it has to. */
const KEPT = 600_000;
const PATIENCE = 1_000;

/**
 * The same lookup, asked once for all who connect at the same time and not again for half a minute: a cold image opens dozens of
 * connections, and the system's resolver takes a thread each. Addresses that were good lately serve while DNS is away.
 *
 * It remembers what names resolve to and not whether that is allowed: each connect judges that anew.
 */
export function rememberedLookup(lookup: LookupFunction = systemLookup as LookupFunction): LookupFunction {
  const known = new LRUCache<string, Known>({ max: MOST_NAMES });
  const flights = new SingleFlight<LookupAddress[]>();
  const ask = resolver(lookup);

  const resolve: Resolve = async (hostname, options) => {
    const key = `${hostname} ${options.family ?? 0} ${options.hints ?? 0}`;
    const held = known.get(key);
    const age = held ? Date.now() - held.since : KEPT;
    if (held && age < FRESH) return held.addresses;
    const asking = flights.run(key, async () => {
      const addresses = await ask(hostname, options);
      known.set(key, { addresses, since: Date.now() });
      return addresses;
    });
    if (!held || age >= KEPT) return asking;
    return within(PATIENCE, asking, () => new Error('no answer')).catch(() => held.addresses);
  };

  return (hostname, options, callback) => {
    resolve(hostname, options).then(
      (addresses) => {
        const [first] = addresses;
        if (options.all) callback(null, addresses);
        else callback(null, first?.address ?? '', first?.family);
      },
      (error: NodeJS.ErrnoException) => callback(error, ''),
    );
  };
}

function resolver(lookup: LookupFunction): Resolve {
  return (hostname, options) =>
    new Promise((resolve, reject) => {
      lookup(hostname, { ...options, all: true }, (error, found) => {
        const addresses = Array.isArray(found) ? found : [];
        if (error) reject(error);
        else if (addresses.length === 0)
          reject(Object.assign(new Error(`no address of ${hostname}`), { code: 'ENOTFOUND' }));
        else resolve(addresses);
      });
    });
}
