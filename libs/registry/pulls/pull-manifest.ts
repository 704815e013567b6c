import { EVENT_MAJOR } from '#bus';
import { type Digest, Failure, isDigest, parseManifest, type Repository, type Target } from '#oci';
import type { FetchedManifest } from '#upstream';
import { manifestFacts } from '../manifest-facts.js';
import { isFull } from './patient-catalog.js';
import { type PrefetchPorts, prefetchParts } from './prefetch.js';
import type { ResolvedTags } from './resolved-tags.js';
import type { Pull } from './running-pull.js';
import type { WorkerOptions, WorkerPorts } from './worker-ports.js';

type ManifestTarget = Extract<Target, { kind: 'manifest' }>;

export type ManifestSteps = PrefetchPorts & { readonly resolved: ResolvedTags };

/** Fetches, checks and records a manifest; then asks for its parts where a client waits for the image. */
export async function pullManifest(
  pull: Pull,
  target: ManifestTarget,
  ports: ManifestSteps,
  options: WorkerOptions,
): Promise<void> {
  const { catalog, upstream } = ports;
  const { repository, reference } = target;
  if (isDigest(reference)) {
    if (pull.again && (await catalog.findManifest(repository, reference))) return;
  } else {
    const known = pull.event.unknown && !pull.again ? undefined : await catalog.findTag(repository, reference);
    if (known && pull.event.maxAge !== undefined && known.age <= pull.event.maxAge) return;
    if (known) {
      const { bytes, ...head } = await upstream.headManifest(repository, reference, pull.call).catch((error) => {
        // A client asks only once the tag has expired; until then a tag that is gone is served.
        if (Failure.of(error).reason !== 'MANIFEST_UNKNOWN' || pull.event.cause !== 'client') throw error;
        return dropTag(ports, target, error);
      });
      if (head.digest === known.digest && (await catalog.confirmTag(repository, reference, known.digest)))
        return tellTag(ports, repository, reference, known.digest);
      if (bytes) return storeFetched(pull, repository, reference, { ...head, bytes }, ports, options);
    }
  }
  return fetchManifest(pull, repository, reference, ports, options);
}

export async function fetchManifest(
  pull: Pull,
  repository: Repository,
  reference: string,
  ports: ManifestSteps,
  options: WorkerOptions,
): Promise<void> {
  const fetched = await ports.upstream.getManifest(repository, reference, pull.call);
  return storeFetched(pull, repository, reference, fetched, ports, options);
}

export async function storeFetched(
  pull: Pull,
  repository: Repository,
  reference: string,
  fetched: FetchedManifest,
  ports: ManifestSteps,
  options: WorkerOptions,
): Promise<void> {
  const { catalog } = ports;
  const { digest } = fetched;
  const parsed = parseManifest(fetched.bytes, fetched.mediaType);
  await ports.content.manifest(repository, fetched, parsed);
  const [tag, ...more] = isDigest(reference) ? ports.resolved.of(repository, digest) : [reference];
  try {
    await catalog.storeManifest(repository, manifestFacts(fetched, parsed), tag);
    for (const each of more) await catalog.confirmTag(repository, each, digest);
  } catch (error) {
    // A gateway in this process serves it from memory.
    if (!ports.facts || !isFull(error)) throw error;
    pull.log.warn({ digest, tag }, 'no room for a manifest: it is served from memory, and not kept');
  }
  ports.facts?.addManifest(repository, fetched);
  for (const each of tag === undefined ? [] : [tag, ...more]) tellTag(ports, repository, each, digest);
  if (options.prefetch.enabled && pull.event.cause !== 'revalidate')
    await prefetchParts(pull, repository, { digest, parsed }, ports, options);
}

async function dropTag({ catalog, bus }: WorkerPorts, target: ManifestTarget, reason: unknown): Promise<never> {
  const { repository, reference: tag } = target;
  await catalog.removeTag(repository, tag);
  bus.signal('tag.moved', { v: EVENT_MAJOR, repository, tag });
  throw reason;
}

export function tellTag({ bus }: WorkerPorts, repository: Repository, tag: string, digest: Digest): void {
  bus.signal('tag.moved', { v: EVENT_MAJOR, repository, tag, digest });
}
