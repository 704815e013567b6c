import { EVENT_MAJOR } from '#bus';
import { digestOf, Failure } from '#oci';
import { FactCache } from '../serve/fact-cache.js';
import type { ManifestSteps } from './pull-manifest.js';
import { pullManifest } from './pull-manifest.js';
import type { Pull } from './running-pull.js';
import type { WorkerOptions } from './worker-ports.js';

const repository = { upstream: 'a.example', path: 'b' };
const mediaType = 'application/vnd.oci.image.manifest.v1+json';
const descriptor = {
  mediaType: 'application/vnd.oci.image.config.v1+json',
  digest: digestOf(Buffer.from('{}')),
  size: 2,
};
const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config: descriptor, layers: [] }));
const fetched = { digest: digestOf(bytes), mediaType, bytes };
const target = { kind: 'manifest', repository, reference: 'v1' } as const;
const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

describe('C59: a manifest that the catalog refuses', () => {
  const run = async (failure: Failure, facts?: FactCache) => {
    const event = { v: EVENT_MAJOR, key: 'k', target, lane: 'interactive', cause: 'client', unknown: true } as const;
    const pull = { event, again: false, log, call: {} } as unknown as Pull;
    const signals: unknown[] = [];
    const ports = {
      catalog: { storeManifest: async () => Promise.reject(failure) },
      upstream: { getManifest: async () => fetched },
      content: { manifest: async () => {} },
      bus: { signal: (...signal: unknown[]) => signals.push(signal) },
      ...(facts ? { facts } : {}),
    } as unknown as ManifestSteps;
    await pullManifest(pull, target, ports, { prefetch: { enabled: false } } as WorkerOptions);
    return signals;
  };
  const cache = () =>
    new FactCache({ manifestBytes: 10_000, blobBytes: 1024, tagTtl: 1000, negativeTtl: 1, retryAfter: 1 });
  const full = new Failure('UNAVAILABLE', 'the catalog is full', { origin: 'catalog', retryable: false });
  const away = new Failure('UNAVAILABLE', 'the catalog is unavailable', { origin: 'catalog', retryable: true });

  it('for want of room is served from the memory of the same process', async () => {
    const facts = cache();
    expect(await run(full, facts)).toEqual([
      ['tag.moved', expect.objectContaining({ tag: 'v1', digest: fetched.digest })],
    ]);
    expect(facts.manifest(repository, fetched.digest)?.bytes.equals(bytes)).toBe(true);
  });

  it('is a failure where no gateway shares the memory, and for any other reason', async () => {
    const facts = cache();
    await expect(run(full)).rejects.toBe(full);
    await expect(run(away, facts)).rejects.toBe(away);
    expect(facts.manifest(repository, fetched.digest)).toBeUndefined();
  });
});
