import fc from 'fast-check';
import type { FailureRecord, Target } from '#oci';
import { claimedRef } from './ledger.contract.js';
import type { ClaimRef, PullLedger } from './port.js';

/** One pull as the port's drawing has it. */
export interface Model {
  row?: {
    state: 'running' | 'finished';
    worker: string;
    attempt: number;
    over: boolean;
    ref: ClaimRef;
    failed: boolean;
  };
  /** How the last finished pull ended; undefined when none did. */
  previous?: { failed: boolean };
  /** Every claim that was ever made, the lost ones too. */
  refs: ClaimRef[];
}

export interface Real {
  readonly ledger: PullLedger;
  readonly key: string;
  /** Ends the lease without waiting for it. */
  lapse(key: string): Promise<void>;
}

const target: Target = { kind: 'manifest', repository: { upstream: 'u.example', path: 'p' }, reference: 't' };
const failure: FailureRecord = { reason: 'UPSTREAM_ERROR', message: 'x', origin: 'upstream', retryable: true };
const LONG = 3_600_000;

type Command = fc.AsyncCommand<Model, Real>;

class Claims implements Command {
  constructor(
    readonly worker: string,
    readonly lease: number,
  ) {}
  check = () => true;
  async run(model: Model, { ledger, key }: Real): Promise<void> {
    const { row } = model;
    const free = !row || row.state === 'finished' || row.over;
    const claim = await ledger.claim(key, target, this.worker, this.lease);
    expect(claim.outcome).toBe(free ? 'claimed' : 'held');
    if (claim.outcome === 'held') {
      expect(claim.worker).toBe(row?.worker);
      return;
    }
    const attempt = row?.state === 'running' ? row.attempt + 1 : 1;
    if (row?.state === 'finished') model.previous = { failed: row.failed };
    expect(claim.ref).toMatchObject({ key, worker: this.worker, attempt });
    expect(claim.previous && { failed: claim.previous.failure !== undefined }).toEqual(model.previous);
    const ref = claimedRef(claim);
    model.row = { state: 'running', worker: this.worker, attempt, over: this.lease === 0, ref, failed: false };
    model.refs.push(ref);
  }
  toString = () => `claim(${this.worker}, ${this.lease})`;
}

abstract class Change implements Command {
  constructor(readonly which: number) {}
  check = (model: Readonly<Model>) => model.refs.length > 0;
  protected abstract apply(ledger: PullLedger, ref: ClaimRef): Promise<boolean>;
  protected effect(_row: NonNullable<Model['row']>): void {}
  async run(model: Model, { ledger }: Real): Promise<void> {
    const ref = model.refs[this.which % model.refs.length] as ClaimRef;
    const holds = model.row?.state === 'running' && model.row.ref === ref;
    expect(await this.apply(ledger, ref)).toBe(holds);
    if (holds && model.row) this.effect(model.row);
  }
  toString = () => `${this.constructor.name}(${this.which})`;
}

class Renews extends Change {
  protected apply = (ledger: PullLedger, ref: ClaimRef) => ledger.renew(ref, LONG);
  protected override effect(row: NonNullable<Model['row']>) {
    row.over = false;
  }
}

class Announces extends Change {
  protected apply = (ledger: PullLedger, ref: ClaimRef) => ledger.announce(ref, { at: this.which }, this.which);
}

class Finishes extends Change {
  constructor(
    which: number,
    readonly failed: boolean,
  ) {
    super(which);
  }
  protected apply = (ledger: PullLedger, ref: ClaimRef) => ledger.finish(ref, this.failed ? failure : undefined);
  protected override effect(row: NonNullable<Model['row']>) {
    row.state = 'finished';
    row.failed = this.failed;
  }
}

class Lapses implements Command {
  check = (model: Readonly<Model>) => model.row?.state === 'running';
  async run(model: Model, real: Real): Promise<void> {
    await real.lapse(real.key);
    if (model.row) model.row.over = true;
  }
  toString = () => 'lapse';
}

class Expires implements Command {
  check = () => true;
  async run(model: Model, { ledger }: Real): Promise<void> {
    await ledger.expire(-1_000);
    if (model.row?.state !== 'finished') return;
    delete model.row;
    delete model.previous;
  }
  toString = () => 'expire';
}

class Finds implements Command {
  check = () => true;
  async run(model: Model, { ledger, key }: Real): Promise<void> {
    const row = await ledger.find(key);
    if (!model.row) return expect(row).toBeUndefined();
    const { state, worker, attempt } = model.row;
    expect(row).toMatchObject({ state, worker, attempt });
    expect(row?.failure !== undefined).toBe(state === 'finished' && model.row.failed);
    if (state === 'running') expect((row?.leaseRemaining ?? 0) > 0).toBe(!model.row.over);
  }
  toString = () => 'find';
}

const worker = fc.constantFrom('a', 'b');
const which = fc.nat(5);

export const ledgerCommands = fc.commands(
  [
    fc.tuple(worker, fc.constantFrom(0, LONG)).map(([name, lease]) => new Claims(name, lease)),
    worker.map((name) => new Claims(name, LONG)),
    which.map((n) => new Renews(n)),
    which.map((n) => new Announces(n)),
    fc.tuple(which, fc.boolean()).map(([n, failed]) => new Finishes(n, failed)),
    fc.constant(new Lapses()),
    fc.constant(new Expires()),
    fc.constant(new Finds()),
  ],
  { maxCommands: 40 },
);
