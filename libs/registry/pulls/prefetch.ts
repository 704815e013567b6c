import { EVENT_MAJOR, type PullRequested, pullKey } from '#bus';
import {
  type Descriptor,
  type Digest,
  type ParsedManifest,
  parsePlatform,
  platformMatches,
  type Repository,
  type Target,
} from '#oci';
import type { Foreknowledge } from './foreknowledge.js';
import type { Pull } from './running-pull.js';
import type { WorkerOptions, WorkerPorts } from './worker-ports.js';

/** Of what refers to one image, so many are fetched ahead: anybody who may push can add some. */
const MOST_REFERRERS = 32;

/** Of one image, so many blobs are looked up ahead. */
const MOST_FOREKNOWN = 64;

export type PrefetchPorts = WorkerPorts & { readonly foreknown: Foreknowledge };

/**
 * An image's config and layers become background pulls; of an index only the configured platforms do. With
 * `prefetch.referrers` also the list of what refers to what a client has asked for.
 */
export async function prefetchParts(
  pull: Pull,
  repository: Repository,
  { digest, parsed }: { readonly digest: Digest; readonly parsed: ParsedManifest },
  ports: PrefetchPorts,
  { prefetch }: WorkerOptions,
): Promise<void> {
  const wanted = prefetch.platforms.flatMap((text) => parsePlatform(text) ?? []);
  const targets: Target[] = [];
  const seen = new Set<string>();
  for (const { descriptor, kind, foreign } of parsed.children) {
    if (foreign || seen.has(descriptor.digest)) continue;
    seen.add(descriptor.digest);
    if (kind === 'manifest') {
      const { platform } = descriptor;
      if (!platform || !wanted.some((w) => platformMatches(w, platform))) continue;
      targets.push({ kind: 'manifest', repository, reference: descriptor.digest });
    } else {
      targets.push({ kind: 'blob', repository, digest: descriptor.digest, size: descriptor.size });
      if (!ports.facts) continue;
      ports.facts.expectBlob(repository, descriptor.digest);
      if (targets.length <= MOST_FOREKNOWN) ports.foreknown.ask(repository, descriptor.digest);
    }
  }
  // Not of what is itself fetched ahead: signatures of signatures have no end.
  if (prefetch.referrers && pull.event.cause !== 'prefetch') targets.push({ kind: 'referrers', repository, digest });
  await queue(pull, targets, ports);
}

/** What refers to an image, from a list that was fetched ahead, becomes background pulls in turn. */
export async function prefetchReferrers(
  pull: Pull,
  repository: Repository,
  referrers: readonly Descriptor[],
  ports: WorkerPorts,
): Promise<void> {
  const digests = new Set(referrers.map(({ digest }) => digest));
  const targets = [...digests]
    .slice(0, MOST_REFERRERS)
    .map((reference): Target => ({ kind: 'manifest', repository, reference }));
  await queue(pull, targets, ports);
}

async function queue(pull: Pull, targets: readonly Target[], ports: WorkerPorts): Promise<void> {
  const event = (target: Target): PullRequested => ({
    v: EVENT_MAJOR,
    key: pullKey(target),
    target,
    lane: 'background',
    cause: 'prefetch',
    ...(pull.event.requestId ? { requestId: pull.event.requestId } : {}),
    ...(pull.event.via ? { via: pull.event.via } : {}),
  });
  // What cannot be queued is fetched when the client asks for it.
  const results = await Promise.allSettled(targets.map((target) => ports.bus.requestPull(event(target))));
  const refused = results.filter((r) => r.status === 'rejected').length;
  if (refused > 0) pull.log.info({ refused }, 'some parts of the image were not queued for prefetch');
}
