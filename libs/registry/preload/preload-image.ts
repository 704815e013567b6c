import { forEach } from '#async';
import type { PullRequested } from '#bus';
import type { ManifestRecord } from '#catalog';
import {
  type ContentTarget,
  type Digest,
  Failure,
  formatPlatform,
  isDigest,
  type ManifestChild,
  parseManifest,
  type Reference,
  type Repository,
} from '#oci';
import { isChosen, type PlatformChoice } from '../platform-choice.js';
import { makePresent, type PresenceOptions, type PresencePorts } from './presence.js';

/** How far one image is; told as it changes. Bytes and objects count manifests, config and layers. */
export interface ImageProgress {
  digest?: Digest;
  objects: number;
  objectsDone: number;
  /** Of `objectsDone`, those that had to be pulled. */
  pulled: number;
  bytes: number;
  bytesDone: number;
}

export interface PreloadImageOptions extends PresenceOptions {
  readonly platforms: PlatformChoice;
  readonly cause: PullRequested['cause'];
  /** Objects of one image that are asked for at a time. */
  readonly concurrency: number;
}

/** An index in an index in an index is nobody's image. */
const MAX_DEPTH = 3;

/** Makes an image present: what the reference names, of an index the chosen platforms, and everything below. */
export async function preloadImage(
  { repository, tag, digest }: Reference,
  progress: ImageProgress,
  ports: PresencePorts,
  options: PreloadImageOptions,
  signal: AbortSignal,
): Promise<void> {
  const bring = (target: ContentTarget) => makePresent(target, options.cause, ports, options, signal);
  const done = (size: number, pulled: boolean) => {
    progress.objectsDone++;
    progress.bytesDone += size;
    if (pulled) progress.pulled++;
  };

  const manifest = async (reference: string, depth: number): Promise<ContentTarget[]> => {
    progress.objects++;
    const pulled = await bring({ kind: 'manifest', repository, reference });
    const record = await find(repository, reference, ports);
    progress.digest ??= record.digest;
    progress.bytes += record.bytes.length;
    done(record.bytes.length, pulled);
    const parsed = parseManifest(record.bytes, record.mediaType);
    const blobs: ContentTarget[] = parsed.children
      .filter(({ kind, foreign }) => kind !== 'manifest' && !foreign)
      .map(({ descriptor }) => ({ kind: 'blob', repository, digest: descriptor.digest, size: descriptor.size }));
    const children = chooseChildren(
      parsed.children.filter(({ kind }) => kind === 'manifest'),
      options.platforms,
    );
    if (children.length > 0 && depth >= MAX_DEPTH)
      throw new Failure('UPSTREAM_CONTENT', 'the image index is nested too deeply');
    for (const child of children) blobs.push(...(await manifest(child, depth + 1)));
    return blobs;
  };

  const wanted = new Map((await manifest(digest ?? tag ?? 'latest', 1)).map((target) => [objectOf(target), target]));
  progress.objects += wanted.size;
  for (const target of wanted.values()) progress.bytes += sizeOf(target);
  await forEach([...wanted.values()], options.concurrency, async (target) => {
    const pulled = await bring(target);
    done(sizeOf(target), pulled);
  });
}

async function find(repository: Repository, reference: string, { catalog }: PresencePorts): Promise<ManifestRecord> {
  const record = isDigest(reference)
    ? await catalog.findManifest(repository, reference)
    : (await catalog.findTag(repository, reference))?.manifest;
  // Pruned, or the tag removed, in the moment since.
  if (!record) throw new Failure('UNAVAILABLE', 'the manifest was fetched and is gone again', { retryAfter: 1 });
  return record;
}

/** Digests of the children for the chosen platforms; every child when none says what it is for. */
function chooseChildren(children: readonly ManifestChild[], platforms: PlatformChoice): Digest[] {
  const all = [...new Set(children.map(({ descriptor }) => descriptor.digest))];
  if (platforms === 'all' || children.every(({ descriptor }) => !descriptor.platform)) return all;
  const chosen = children.filter(({ descriptor: { platform } }) => platform && isChosen(platform, platforms));
  if (chosen.length === 0) {
    const offered = children.flatMap(({ descriptor: { platform } }) => (platform ? [formatPlatform(platform)] : []));
    throw new Failure(
      'MANIFEST_UNKNOWN',
      `no image for ${platforms.map(formatPlatform).join(', ')}; there is ${[...new Set(offered)].slice(0, 20).join(', ')}`,
    );
  }
  return [...new Set(chosen.map(({ descriptor }) => descriptor.digest))];
}

function objectOf(target: ContentTarget): string {
  return target.kind === 'blob' ? target.digest : target.reference;
}

function sizeOf(target: ContentTarget): number {
  return (target.kind === 'blob' && target.size) || 0;
}
