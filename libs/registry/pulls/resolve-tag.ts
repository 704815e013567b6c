import { EVENT_MAJOR } from '#bus';
import type { TagTarget } from '#oci';
import { fetchManifest, type ManifestSteps, storeFetched, tellTag } from './pull-manifest.js';
import type { Pull } from './running-pull.js';
import type { WorkerOptions } from './worker-ports.js';

/**
 * Learns by HEAD what a tag names and tells it, so that a look at a tag costs no pull where pulls are counted (WIRE A54).
 * Where HEAD does not say all that our own answer to it needs, or the content may be refused, the manifest is fetched.
 */
export async function resolveTag(
  pull: Pull,
  target: TagTarget,
  ports: ManifestSteps,
  options: WorkerOptions,
): Promise<void> {
  const { repository, reference: tag } = target;
  if (ports.content.judges(repository.upstream)) return fetchManifest(pull, repository, tag, ports, options);
  const { digest, mediaType, size, bytes } = await ports.upstream.headManifest(repository, tag, pull.call);
  if (bytes) return storeFetched(pull, repository, tag, { digest, mediaType, bytes }, ports, options);
  // By another tag, or by its digest, it is here already.
  if (await ports.catalog.confirmTag(repository, tag, digest)) return tellTag(ports, repository, tag, digest);
  if (size === undefined) return fetchManifest(pull, repository, tag, ports, options);
  ports.bus.signal('tag.resolved', { v: EVENT_MAJOR, repository, tag, digest, mediaType, size });
}
