import { timingSafeEqual } from 'node:crypto';
import type { RelayAddress } from '#bus';
import { Failure } from '#oci';
import type { Relays, RunningTransfer } from '../ports.js';
import type { Transfer } from './transfer.js';

/** The running transfers of this process. As `Relays` it serves the gateway of the same process. */
export class Transfers implements Relays {
  private readonly byId = new Map<string, Transfer>();

  /** Keeps the transfer findable until `run` settles. */
  async track<T>(transfer: Transfer, run: Promise<T>): Promise<T> {
    this.byId.set(transfer.id, transfer);
    try {
      return await run;
    } finally {
      this.byId.delete(transfer.id);
    }
  }

  /** Rejects UNAVAILABLE for an unknown transfer and for a wrong token alike. */
  async attach(address: RelayAddress): Promise<RunningTransfer> {
    const transfer = this.byId.get(address.transfer);
    const given = Buffer.from(address.token);
    const token = Buffer.from(transfer?.token ?? '');
    if (!transfer || given.length !== token.length || !timingSafeEqual(given, token)) {
      throw new Failure('UNAVAILABLE', 'no such transfer', { retryable: true });
    }
    return transfer;
  }

  all(): Transfer[] {
    return [...this.byId.values()];
  }

  /** Stops every transfer; for shutdown. */
  cancelAll(reason: Failure): void {
    for (const transfer of this.all()) transfer.cancel(reason);
  }
}
