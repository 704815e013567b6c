import { EVENT_MAJOR } from '#bus';
import { Failure, isDigest, parseManifest, type Target } from '#oci';
import type { FetchedManifest } from '#upstream';
import { manifestFacts } from '../manifest-facts.js';
import { prefetchParts } from './prefetch.js';
import type { WorkerOptions, WorkerPorts } from './pull-worker.js';
import type { Pull } from './running-pull.js';

type ManifestTarget = Extract<Target, { kind: 'manifest' }>;

/** Fetches, checks and records a manifest; then asks for its parts where a client waits for the image. */
export async function pullManifest(
  pull: Pull,
  target: ManifestTarget,
  ports: WorkerPorts,
  options: WorkerOptions,
): Promise<void> {
  const { catalog, upstream } = ports;
  const { repository, reference } = target;
  const byDigest = isDigest(reference);
  if (byDigest) {
    if (pull.again && (await catalog.findManifest(repository, reference))) return;
  } else {
    const known = pull.event.unknown && !pull.again ? undefined : await catalog.findTag(repository, reference);
    if (known && pull.event.maxAge !== undefined && known.age <= pull.event.maxAge) return;
    if (known) {
      const head = await upstream.headManifest(repository, reference, pull.call).catch((error) => {
        // A client asks only once the tag has expired; until then a tag that is gone is served.
        if (Failure.of(error).reason !== 'MANIFEST_UNKNOWN' || pull.event.cause !== 'client') throw error;
        return dropTag(ports, target, error);
      });
      if (head.digest === known.digest && (await catalog.confirmTag(repository, reference, known.digest)))
        return tellTag(ports, target, known.digest);
    }
  }
  const fetched = await upstream.getManifest(repository, reference, pull.call);
  const parsed = parseManifest(fetched.bytes, fetched.mediaType);
  await ports.content.manifest(repository, fetched, parsed);
  await catalog.storeManifest(repository, manifestFacts(fetched, parsed), byDigest ? undefined : reference);
  ports.facts?.addManifest(repository, fetched);
  if (!byDigest) tellTag(ports, target, fetched.digest);
  if (options.prefetch.enabled && pull.event.cause !== 'revalidate')
    await prefetchParts(pull, target.repository, { digest: fetched.digest, parsed }, ports, options);
}

async function dropTag({ catalog, bus }: WorkerPorts, target: ManifestTarget, reason: unknown): Promise<never> {
  const { repository, reference: tag } = target;
  await catalog.removeTag(repository, tag);
  bus.signal('tag.moved', { v: EVENT_MAJOR, repository, tag });
  throw reason;
}

function tellTag(ports: WorkerPorts, target: ManifestTarget, digest: FetchedManifest['digest']): void {
  ports.bus.signal('tag.moved', { v: EVENT_MAJOR, repository: target.repository, tag: target.reference, digest });
}
