import type { BlobStore } from '#blobs';
import { type Bus, EVENT_MAJOR } from '#bus';
import type { Catalog } from '#catalog';
import { type Digest, Failure, formatRepository, type Repository } from '#oci';
import { makePresent, type PresenceOptions, type PresencePorts } from '../preload/presence.js';

export interface RepairPorts extends PresencePorts {
  readonly catalog: Catalog;
  readonly blobs: BlobStore;
  readonly bus: Bus;
}

/** What became of something bad. `dropped`: gone, and fetched when a client asks for it. */
export type Repair = { readonly outcome: 'repaired' } | { readonly outcome: 'dropped'; readonly reason: string };

/**
 * Takes bytes that are bad or lost out of the cache, so that nobody is served them, and has them fetched by the pull path.
 * The repositories that held the blob hold it again when the bytes are back: they lost bytes, not permission.
 */
export async function repairBlob(
  digest: Digest,
  size: number,
  ports: RepairPorts,
  options: PresenceOptions,
  signal: AbortSignal,
): Promise<Repair> {
  const { catalog, blobs, bus } = ports;
  const holders = await catalog.holdings.holders(digest);
  // The bytes before the row: a puller that looks for bytes without a row must not find these.
  await blobs.remove(digest);
  await catalog.forgetBlob(digest);
  bus.signal('content.removed', { v: EVENT_MAJOR, digests: [digest] });
  const target = (repository: Repository) => ({ kind: 'blob', repository, digest, size }) as const;
  const repair = await fromAny(holders, (repository) =>
    makePresent(target(repository), 'preload', ports, options, signal),
  );
  if (repair.outcome === 'repaired')
    for (const repository of holders) await catalog.storeBlob(repository, digest, size);
  return repair;
}

/** The manifest and its tags in every repository that held it; a tag that has moved meanwhile stays where it is. */
export async function repairManifest(
  digest: Digest,
  ports: RepairPorts,
  options: PresenceOptions,
  signal: AbortSignal,
): Promise<Repair> {
  const { catalog, bus } = ports;
  const held = await catalog.holdings.dropManifest(digest);
  bus.signal('content.removed', { v: EVENT_MAJOR, digests: [digest] });
  const reasons: string[] = [];
  for (const { repository, tags } of held) {
    try {
      await makePresent({ kind: 'manifest', repository, reference: digest }, 'preload', ports, options, signal);
      for (const tag of tags) await catalog.holdings.restoreTag(repository, digest, tag);
    } catch (error) {
      signal.throwIfAborted();
      reasons.push(`${formatRepository(repository)}: ${Failure.of(error).message}`);
    }
  }
  return reasons.length === 0 ? { outcome: 'repaired' } : { outcome: 'dropped', reason: reasons.join('; ') };
}

async function fromAny(
  repositories: readonly Repository[],
  bring: (repository: Repository) => Promise<unknown>,
): Promise<Repair> {
  let reason = 'no repository holds it';
  for (const repository of repositories) {
    try {
      await bring(repository);
      return { outcome: 'repaired' };
    } catch (error) {
      const failure = Failure.of(error);
      if (failure.reason === 'INTERNAL') throw error;
      reason = `${formatRepository(repository)}: ${failure.message}`;
    }
  }
  return { outcome: 'dropped', reason };
}
