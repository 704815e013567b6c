import { EVENT_MAJOR, type PullRequested, pullKey } from '#bus';
import {
  Failure,
  isDigest,
  type ParsedManifest,
  parseManifest,
  parsePlatform,
  platformMatches,
  type Target,
} from '#oci';
import type { FetchedManifest } from '#upstream';
import { manifestFacts } from '../manifest-facts.js';
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
    await prefetch(pull, target, parsed, ports, options);
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

/** An image's config and layers become background pulls; of an index only the configured platforms do. */
async function prefetch(
  pull: Pull,
  target: ManifestTarget,
  parsed: ParsedManifest,
  ports: WorkerPorts,
  options: WorkerOptions,
): Promise<void> {
  const wanted = options.prefetch.platforms.flatMap((text) => parsePlatform(text) ?? []);
  const targets: Target[] = [];
  const seen = new Set<string>();
  for (const { descriptor, kind, foreign } of parsed.children) {
    if (foreign || seen.has(descriptor.digest)) continue;
    seen.add(descriptor.digest);
    if (kind === 'manifest') {
      const { platform } = descriptor;
      if (!platform || !wanted.some((w) => platformMatches(w, platform))) continue;
      targets.push({ kind: 'manifest', repository: target.repository, reference: descriptor.digest });
    } else {
      targets.push({ kind: 'blob', repository: target.repository, digest: descriptor.digest, size: descriptor.size });
    }
  }
  const event = (child: Target): PullRequested => ({
    v: EVENT_MAJOR,
    key: pullKey(child),
    target: child,
    lane: 'background',
    cause: 'prefetch',
    ...(pull.event.requestId ? { requestId: pull.event.requestId } : {}),
    ...(pull.event.via ? { via: pull.event.via } : {}),
  });
  for (const child of targets) if (child.kind === 'blob') ports.facts?.expectBlob(child.repository, child.digest);
  // What cannot be queued is fetched when the client asks for it.
  const results = await Promise.allSettled(targets.map((child) => ports.bus.requestPull(event(child))));
  const refused = results.filter((r) => r.status === 'rejected').length;
  if (refused > 0) pull.log.info({ refused }, 'some parts of the image were not queued for prefetch');
}
