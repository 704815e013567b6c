import { type LookupAddress, type LookupOptions, lookup as systemLookup } from 'node:dns';
import type { LookupFunction } from 'node:net';
import { LRUCache } from 'lru-cache';
import { SingleFlight, within } from '#async';

type Ask = (hostname: string, options: LookupOptions) => Promise<LookupAddress[]>;

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
 * A lookup that asks once for all who connect at the same time and not again for half a minute: a cold image opens dozens of
 * connections, and the system's resolver takes a thread each. Addresses that were good lately serve while DNS is away.
 *
 * It remembers what names resolve to and not whether that is allowed: each connect judges that anew.
 */
export class Names {
  private readonly known = new LRUCache<string, Known>({ max: MOST_NAMES });
  /** When a connection to the name last failed; epoch milliseconds. */
  private readonly doubted = new LRUCache<string, number>({ max: MOST_NAMES });
  private readonly flights = new SingleFlight<LookupAddress[]>();
  private readonly ask: Ask;

  constructor(lookup: LookupFunction = systemLookup as LookupFunction) {
    this.ask = asking(lookup);
  }

  readonly lookup: LookupFunction = (hostname, options, callback) => {
    this.resolve(hostname, options).then(
      (addresses) => {
        const [first] = addresses;
        if (options.all) callback(null, addresses);
        else callback(null, first?.address ?? '', first?.family);
      },
      (error: NodeJS.ErrnoException) => callback(error, ''),
    );
  };

  /** No connection came about: the name may have moved, and is asked for the next time. */
  doubt(hostname: string): void {
    this.doubted.set(hostname, Date.now());
  }

  private async resolve(hostname: string, options: LookupOptions): Promise<LookupAddress[]> {
    const key = `${hostname} ${options.family ?? 0} ${options.hints ?? 0}`;
    const held = this.known.get(key);
    const age = held ? Date.now() - held.since : KEPT;
    if (held && age < FRESH && held.since > (this.doubted.get(hostname) ?? 0)) return held.addresses;
    const asked = this.flights.run(key, async () => {
      const since = Date.now();
      const addresses = await this.ask(hostname, options);
      this.known.set(key, { addresses, since });
      return addresses;
    });
    if (!held || age >= KEPT) return asked;
    return within(PATIENCE, asked, () => new Error('no answer')).catch(() => held.addresses);
  }
}

function asking(lookup: LookupFunction): Ask {
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
