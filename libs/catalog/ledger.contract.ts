import { randomUUID } from 'node:crypto';
import type { FailureRecord, Target } from '#oci';
import type { Catalog, Claim, ClaimRef } from './port.js';

const target = {
  kind: 'manifest',
  repository: { upstream: 'registry.example', path: 'a/b' },
  reference: 'latest',
} satisfies Target;
const no: FailureRecord = { reason: 'MANIFEST_UNKNOWN', message: 'no', origin: 'upstream', retryable: false };
const LONG = 3_600_000;

export function claimedRef(claim: Claim): ClaimRef {
  if (claim.outcome !== 'claimed') throw new Error(`held by ${claim.worker}`);
  return claim.ref;
}

/** What every ledger does, told through the port alone. A lease of 0 ms is over at once. */
export function ledgerContract(open: () => Catalog): void {
  const ledger = () => open().pulls;
  const someKey = () => randomUUID().replaceAll('-', '').padEnd(40, '0');

  it('ends a claim as if it had never been made, unless it was lost', async () => {
    const key = someKey();
    const lost = claimedRef(await ledger().claim(key, target, 'w1', 0));
    const held = claimedRef(await ledger().claim(key, target, 'w2', LONG));
    expect(await ledger().release(lost)).toBe(false);
    expect((await ledger().find(key))?.worker).toBe('w2');
    expect(await ledger().release(held)).toBe(true);
    expect(await ledger().find(key)).toBeUndefined();
    expect(await ledger().claim(key, target, 'w3', LONG)).toMatchObject({ outcome: 'claimed', ref: { attempt: 1 } });
  });

  it('gives a pull to one of 50 that claim it at once', async () => {
    const key = someKey();
    const claims = await Promise.all(Array.from({ length: 50 }, (_, n) => ledger().claim(key, target, `w${n}`, LONG)));
    const winners = claims.filter((claim) => claim.outcome === 'claimed');
    expect(winners).toHaveLength(1);
    const { worker } = claimedRef(winners[0] as Claim);
    for (const claim of claims) {
      if (claim.outcome === 'claimed') continue;
      expect(claim.worker).toBe(worker);
      expect(claim.remaining).toBeGreaterThan(0);
      expect(claim.remaining).toBeLessThanOrEqual(LONG);
    }
  });

  it('gives different pulls their own answers in one batch', async () => {
    const keys = Array.from({ length: 300 }, someKey);
    const taken = new Set(keys.filter((_, n) => n % 3 === 0));
    await Promise.all([...taken].map((key) => ledger().claim(key, target, 'first', LONG)));
    const claims = await Promise.all(
      keys.map((key) => ledger().claim(key, { ...target, reference: key }, 'second', LONG)),
    );
    for (const [n, key] of keys.entries()) {
      const claim = claims[n] as Claim;
      expect(claim).toMatchObject(
        taken.has(key) ? { outcome: 'held', worker: 'first' } : { ref: { key, worker: 'second' } },
      );
      if (!taken.has(key)) expect((await ledger().find(key))?.target).toEqual({ ...target, reference: key });
    }
  });

  it('tells late joiners what goes on', async () => {
    const key = someKey();
    expect(await ledger().find(key)).toBeUndefined();
    const ref = claimedRef(await ledger().claim(key, target, 'w', LONG));
    expect(await ledger().announce(ref, { url: '', list: [1, 'ž'] }, 5e9)).toBe(true);
    const row = await ledger().find(key);
    expect(row).toMatchObject({ key, target, state: 'running', attempt: 1, worker: 'w', size: 5e9 });
    expect(row?.relay).toEqual({ url: '', list: [1, 'ž'] });
    expect(row?.leaseRemaining).toBeGreaterThan(0);
    expect(row).not.toHaveProperty('failure');
    expect(await ledger().announce(ref, null, undefined)).toBe(true);
    expect(await ledger().find(key)).not.toHaveProperty('size');
    expect(await ledger().finish(ref, no)).toBe(true);
    const finished = await ledger().find(key);
    expect(finished).toMatchObject({ state: 'finished', failure: no });
    expect(finished).not.toHaveProperty('relay');
    expect(finished?.age).toBeGreaterThanOrEqual(0);
  });

  it('remembers how the last pull ended, also for the one who takes over', async () => {
    const key = someKey();
    const first = await ledger().claim(key, target, 'a', LONG);
    expect(first).not.toHaveProperty('previous');
    await ledger().finish(claimedRef(first), no);
    const second = await ledger().claim(key, target, 'b', 0);
    expect(second).toMatchObject({ ref: { attempt: 1 }, previous: { failure: no } });
    const third = await ledger().claim(key, target, 'c', LONG);
    expect(third).toMatchObject({ ref: { attempt: 2 }, previous: { failure: no } });
    expect(await ledger().find(key)).not.toHaveProperty('failure');
    await ledger().finish(claimedRef(third));
    const fourth = await ledger().claim(key, target, 'd', LONG);
    expect(fourth).toMatchObject({ ref: { attempt: 1 }, previous: { age: expect.any(Number) } });
    expect(fourth.outcome === 'claimed' && fourth.previous).not.toHaveProperty('failure');
  });

  it('fences the one whose lease was taken over, even by itself', async () => {
    const key = someKey();
    const old = claimedRef(await ledger().claim(key, target, 'w', 0));
    const taken = claimedRef(await ledger().claim(key, target, 'v', LONG));
    expect(taken.attempt).toBe(2);
    for (const change of [ledger().renew(old, LONG), ledger().announce(old, {}, 1), ledger().finish(old)])
      expect(await change).toBe(false);
    expect(await ledger().find(key)).toMatchObject({ state: 'running', worker: 'v', attempt: 2 });
    expect(await ledger().finish(taken)).toBe(true);
    expect(await ledger().finish(taken, no)).toBe(false);
    const again = claimedRef(await ledger().claim(key, target, 'w', LONG));
    expect(again.attempt).toBe(old.attempt);
    expect(await ledger().finish(old, no)).toBe(false);
    expect(await ledger().finish(again)).toBe(true);
  });

  it('renews a lease that is over while nobody took it', async () => {
    const key = someKey();
    const ref = claimedRef(await ledger().claim(key, target, 'a', 0));
    expect(await ledger().renew(ref, LONG)).toBe(true);
    expect(await ledger().claim(key, target, 'b', LONG)).toMatchObject({ outcome: 'held', worker: 'a' });
  });

  it('does one of two changes of one claim that are made at once', async () => {
    const ref = claimedRef(await ledger().claim(someKey(), target, 'a', LONG));
    expect((await Promise.all([ledger().finish(ref), ledger().finish(ref, no)])).filter(Boolean)).toHaveLength(1);
  });

  it('removes finished rows of the given age and no running ones', async () => {
    const [running, finished] = [someKey(), someKey()];
    await ledger().claim(running, target, 'a', 0);
    await ledger().finish(claimedRef(await ledger().claim(finished, target, 'a', LONG)));
    await ledger().expire(LONG);
    expect(await ledger().find(finished)).toBeDefined();
    expect(await ledger().expire(0)).toBeGreaterThan(0);
    expect(await ledger().find(finished)).toBeUndefined();
    expect(await ledger().find(running)).toBeDefined();
  });

  it('ends running pulls that nobody has taken over, as failed, and no others', async () => {
    const [lost, held] = [someKey(), someKey()];
    const ref = claimedRef(await ledger().claim(lost, target, 'dead', 0));
    await ledger().announce(ref, { url: 'x' }, 1);
    await ledger().claim(held, target, 'alive', LONG);
    await ledger().endLost(LONG);
    expect(await ledger().find(lost)).toMatchObject({ state: 'running' });
    expect(await ledger().endLost(0)).toBeGreaterThan(0);
    expect(await ledger().find(lost)).toMatchObject({ state: 'finished', failure: { reason: 'UNAVAILABLE' } });
    expect(await ledger().find(lost)).not.toHaveProperty('relay');
    expect(await ledger().find(held)).toMatchObject({ state: 'running', worker: 'alive' });
    expect(await ledger().renew(ref, LONG)).toBe(false);
    expect(await ledger().claim(lost, target, 'next', LONG)).toMatchObject({ ref: { attempt: 1 } });
  });

  it('fails the one call with bad values and none beside it', async () => {
    const keys = Array.from({ length: 5 }, someKey);
    const results = await Promise.allSettled(
      keys.map((key, n) => ledger().claim(key, n === 2 ? { ...target, reference: 'nul\0' } : target, 'w', LONG)),
    );
    expect(results.map((result) => result.status === 'fulfilled')).toEqual([true, true, false, true, true]);
  });
}
