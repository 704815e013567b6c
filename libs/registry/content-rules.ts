import { type Digest, Failure, type ParsedManifest, type Repository } from '#oci';
import type { FetchedManifest } from '#upstream';

/**
 * Decides what of an upstream's content is taken in, before anything of it is stored or shown. Throws Failure DENIED with
 * the reason: 403 for the client.
 */
export interface ContentChecks {
  /** Whether anything of this upstream may be refused: then nothing is told of a manifest before it was seen. */
  judges(upstream: string): boolean;
  manifest(repository: Repository, manifest: FetchedManifest, parsed: ParsedManifest): void | Promise<void>;
  /** `size` in bytes; undefined: nobody tells. */
  blob(repository: Repository, digest: Digest, size: number | undefined): void | Promise<void>;
}

/** What one upstream may give; without a rule anything. */
export interface ContentRule {
  /** Bytes. */
  readonly maxManifest?: number;
  readonly maxBlob?: number;
  /** Of manifests, configs and layers; `*` at the end stands for any rest. */
  readonly mediaTypes?: readonly string[];
}

/** Sizes and media types by upstream. */
export class ContentRules implements ContentChecks {
  /** By canonical host. */
  constructor(private readonly rules: ReadonlyMap<string, ContentRule>) {}

  judges(upstream: string): boolean {
    return this.rules.has(upstream);
  }

  manifest({ upstream }: Repository, { bytes, mediaType }: FetchedManifest, { children }: ParsedManifest): void {
    const rule = this.rules.get(upstream);
    if (!rule) return;
    const { maxManifest, maxBlob, mediaTypes } = rule;
    if (maxManifest !== undefined && bytes.length > maxManifest)
      throw veto(`the manifest has ${bytes.length} bytes, and ${maxManifest} are allowed from this upstream`);
    if (mediaTypes) {
      const parts = children.map(({ descriptor }) => descriptor.mediaType);
      const foreign = [mediaType, ...parts].find((type) => !mediaTypes.some((allowed) => covers(allowed, type)));
      if (foreign !== undefined) throw veto(`the media type ${foreign} is not allowed from this upstream`);
    }
    for (const { kind, descriptor } of children) if (kind !== 'manifest') checkSize(descriptor.size, maxBlob);
  }

  blob({ upstream }: Repository, _digest: Digest, size: number | undefined): void {
    checkSize(size, this.rules.get(upstream)?.maxBlob);
  }
}

function checkSize(size: number | undefined, most: number | undefined): void {
  if (most === undefined) return;
  if (size === undefined) throw veto('the upstream does not tell the size of the blob, and it is limited');
  if (size > most) throw veto(`a blob has ${size} bytes, and ${most} are allowed from this upstream`);
}

function covers(allowed: string, type: string): boolean {
  return allowed.endsWith('*') ? type.startsWith(allowed.slice(0, -1)) : type === allowed;
}

function veto(reason: string): Failure {
  return new Failure('DENIED', `refused by the rules of this cache: ${reason}`, {
    origin: 'internal',
    retryable: false,
  });
}
