import type { Catalog, ManifestRecord } from '#catalog';
import { type Digest, formatReference, parseManifest, parseReference, type Reference } from '#oci';
import { leaseKey } from '../pulls/lease-key.js';
import { type Freshness, freshnessOf, type TagRule } from '../serve/freshness.js';
import type { SourceRules } from '../source.js';
import type { UpstreamStates, UpstreamStatus } from '../upstreams/upstream-states.js';

interface Ports {
  readonly catalog: Pick<Catalog, 'findTag' | 'findManifest' | 'findBlob' | 'pulls'>;
  readonly upstreams: Pick<UpstreamStates, 'list'>;
}

interface ExplainOptions {
  readonly sources: SourceRules;
  readonly airGapped: boolean;
  tagRule(repository: Reference['repository'], tag: string): TagRule;
}

/**
 *   serve       from the cache, no question is asked
 *   revalidate  from the cache at once, and the upstream is asked afterwards
 *   ask         the upstream is asked first; with trouble the cached one is served with a Warning
 *   pull        it is fetched from the upstream while the client waits
 *   refuse      the client is told no, and no upstream is asked
 */
type Verdict = 'serve' | 'revalidate' | 'ask' | 'pull' | 'refuse';

export interface Explanation {
  /** In full: `docker.io/library/alpine:3`. */
  readonly reference: string;
  readonly verdict: Verdict;
  /** Sentences for people, in the order in which they mattered. */
  readonly why: readonly string[];
  readonly cached?: {
    readonly digest: Digest;
    readonly mediaType: string;
    /** Bytes of the manifest. */
    readonly size: number;
    /** Config and layers (of an index: its images) that the manifest names, and how many of them are cached. */
    readonly parts: number;
    readonly partsCached: number;
  };
  readonly tag?: {
    readonly freshness: Freshness;
    /** Milliseconds since the upstream confirmed it. */
    readonly age: number;
    /** Milliseconds; absent: for ever. */
    readonly freshFor?: number;
    readonly staleFor?: number;
  };
  readonly upstream?: UpstreamStatus;
  /** The pull of this manifest that runs, or how the last one ended. */
  readonly pull?: { readonly state: 'running' | 'finished'; readonly failure?: string; readonly age: number };
}

const MOST_PARTS = 500;

/** Tells what a request for a reference would meet with, and why. Asks no upstream and changes nothing. */
export class Explainer {
  constructor(
    private readonly ports: Ports,
    private readonly options: ExplainOptions,
  ) {}

  /** Throws Failure NAME_INVALID, MANIFEST_INVALID or DIGEST_INVALID for what is no reference. */
  async explain(text: string): Promise<Explanation> {
    const { sources, airGapped } = this.options;
    const parsed = parseReference(text, sources.defaultNs || undefined);
    const { repository, digest, tag } = parsed;
    const reference = formatReference(parsed);
    if (!sources.allows(repository.upstream)) {
      const how =
        'it is neither well known nor configured under registries, and upstreams.allowUnlisted does not open it';
      return { reference, verdict: 'refuse', why: [`${repository.upstream} may not be pulled from: ${how}`] };
    }
    const { catalog } = this.ports;
    const asked = digest ?? tag ?? 'latest';
    const [held, status, row] = await Promise.all([
      digest ? this.byDigest(parsed, digest) : catalog.findTag(repository, asked),
      this.ports.upstreams.list(),
      catalog.pulls.find(leaseKey({ kind: 'manifest', repository, reference: asked })),
    ]);
    const upstream = status.find((one) => one.upstream === repository.upstream);
    const facts = {
      reference,
      ...(held ? { cached: await this.cached(parsed, held.manifest) } : {}),
      ...(upstream ? { upstream } : {}),
      ...(row
        ? { pull: { state: row.state, age: row.age, ...(row.failure ? { failure: row.failure.message } : {}) } }
        : {}),
    };
    if (!held) {
      if (airGapped)
        return { ...facts, verdict: 'refuse', why: ['it is not cached', 'airGapped: no upstream is asked'] };
      return { ...facts, verdict: 'pull', why: ['it is not cached', ...troubles(upstream)] };
    }
    if (digest) return { ...facts, verdict: 'serve', why: ['a digest that is cached never needs the upstream'] };
    return { ...facts, ...this.tag(parsed, held.age, upstream) };
  }

  private tag(
    { repository, tag = 'latest' }: Reference,
    age: number,
    upstream: UpstreamStatus | undefined,
  ): Pick<Explanation, 'verdict' | 'why' | 'tag'> {
    const { fresh, stale } = this.options.tagRule(repository, tag);
    const freshness = freshnessOf(age, { fresh, stale });
    const about = {
      freshness,
      age,
      ...(Number.isFinite(fresh) ? { freshFor: Math.max(0, fresh) } : {}),
      ...(Number.isFinite(stale) ? { staleFor: Math.max(0, stale) } : {}),
    };
    if (this.options.airGapped)
      return { verdict: 'serve', tag: about, why: ['airGapped: what is cached is the truth'] };
    if (fresh === Number.POSITIVE_INFINITY)
      return { verdict: 'serve', tag: about, why: ['the tag is pinned by tags.rules'] };
    const last = `the upstream confirmed the tag ${seconds(age)} ago`;
    if (freshness === 'fresh')
      return { verdict: 'serve', tag: about, why: [last, `it is fresh for ${seconds(fresh)}`] };
    if (freshness === 'stale') {
      const why = [last, `it is stale after ${seconds(fresh)} and served at once until ${seconds(stale)}`];
      return { verdict: 'revalidate', tag: about, why: [...why, ...troubles(upstream)] };
    }
    const rule = stale < 0 ? 'alwaysPull: it is asked for each time' : `it has expired after ${seconds(stale)}`;
    return { verdict: 'ask', tag: about, why: [last, rule, ...troubles(upstream)] };
  }

  private async byDigest({ repository }: Reference, digest: Digest) {
    const manifest = await this.ports.catalog.findManifest(repository, digest);
    return manifest && { manifest, age: 0 };
  }

  private async cached({ repository }: Reference, manifest: ManifestRecord): Promise<Explanation['cached']> {
    const { catalog } = this.ports;
    const parts = parseManifest(manifest.bytes, manifest.mediaType).children.filter(({ foreign }) => !foreign);
    const held = await Promise.all(
      parts
        .slice(0, MOST_PARTS)
        .map(({ kind, descriptor: { digest } }) =>
          kind === 'manifest' ? catalog.findManifest(repository, digest) : catalog.findBlob(repository, digest),
        ),
    );
    return {
      digest: manifest.digest,
      mediaType: manifest.mediaType,
      size: manifest.bytes.length,
      parts: parts.length,
      partsCached: held.filter(Boolean).length,
    };
  }
}

/** Why the upstream may not answer now. */
function troubles(upstream: UpstreamStatus | undefined): string[] {
  const { pause, failingFor } = upstream ?? {};
  const causes = {
    'rate-limited': 'it asked us to stay away',
    exhausted: 'its rate limit is used up',
    manual: 'an operator paused it',
  } as const;
  return [
    ...(pause
      ? [
          `the upstream rests for another ${seconds(pause.remaining)}: ${causes[pause.cause]}${pause.countedOnly ? ' (only requests that it counts)' : ''}`,
        ]
      : []),
    ...(failingFor === undefined ? [] : [`the upstream keeps failing and is left alone for ${seconds(failingFor)}`]),
  ];
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`;
}
