import type { Credentials } from '../options.js';
import type { CredentialSource } from './source.js';

/** Credentials and how long they are good, in epoch milliseconds. */
export interface Lent {
  readonly credentials: Credentials | undefined;
  /** From then on they are fetched anew while the old ones still serve. */
  readonly renewAt: number;
  readonly expiresAt: number;
}

/** Refused credentials are fetched anew at most this often. Milliseconds. */
const REFUSED_REST = 10_000;
/** Between tries to renew credentials that still serve. */
const RETRY = 60_000;

/** Credentials of an outside service: fetched once for all who wait, kept, and renewed before their end. */
export class Renewed implements CredentialSource {
  private lent: Lent | undefined;
  private fetched = 0;
  private flight: Promise<Lent> | undefined;

  constructor(private readonly fetch: () => Promise<Lent>) {}

  async get(): Promise<Credentials | undefined> {
    const now = Date.now();
    if (this.lent && now < this.lent.expiresAt) {
      if (now >= this.lent.renewAt && now - this.fetched >= RETRY) this.renew().catch(() => {});
      return this.lent.credentials;
    }
    return (await this.renew()).credentials;
  }

  refused(): void {
    if (Date.now() - this.fetched >= REFUSED_REST) this.lent = undefined;
  }

  private renew(): Promise<Lent> {
    this.fetched = Date.now();
    this.flight ??= this.fetch()
      .then((lent) => {
        this.lent = lent;
        return lent;
      })
      .finally(() => {
        this.flight = undefined;
      });
    return this.flight;
  }
}
