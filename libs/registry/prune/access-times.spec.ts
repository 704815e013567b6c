import type { Digest } from '#oci';
import { AccessTimes } from './access-times.js';

const log = { debug() {}, info() {}, warn() {}, error() {} };
const repository = { upstream: 'docker.io', path: 'a' };
const options = { flushEvery: 3_600_000, resolution: 3_600_000, clientOf: (name: string) => `client ${name}` };
const digest = (n: number): Digest => `sha256:${String(n).padStart(64, '0')}`;

function recorder() {
  const writes: number[] = [];
  let broken = false;
  return {
    writes,
    breakIt: (value: boolean) => {
      broken = value;
    },
    touch: async (items: readonly unknown[]) => {
      if (broken) throw new Error('away');
      writes.push(items.length);
    },
  };
}

describe('AccessTimes', () => {
  it('writes what was accessed once per batch, and not again within the resolution', async () => {
    const catalog = recorder();
    const times = new AccessTimes(catalog, log, options);
    for (let i = 0; i < 1000; i++) times.note(repository, digest(i % 3), 'a');
    await times.flush();
    times.note(repository, digest(1), 'a');
    times.note(repository, digest(7), 'a');
    await times.flush();
    await times.flush();
    expect(catalog.writes).toEqual([3, 1]);
    await times.close();
  });

  it('keeps what cannot be written, and writes the rest at the end', async () => {
    const catalog = recorder();
    const times = new AccessTimes(catalog, log, options);
    times.note(repository, digest(1), 'a');
    catalog.breakIt(true);
    await times.flush();
    times.note(repository, digest(2), 'a');
    catalog.breakIt(false);
    await times.close();
    expect(catalog.writes).toEqual([2]);
  });
});
