import type { Catalog, Listing, RepositoryNames } from '#catalog';
import {
  byBytes,
  type Descriptor,
  type Digest,
  Failure,
  type ListTarget,
  type Page,
  type PageQuery,
  type Repository,
} from '#oci';
import type { Log } from '../ports.js';
import type { Outcome, PullRequest, PullWaits } from '../pulls/pull-waits.js';
import type { FactCache } from './fact-cache.js';
import { freshnessOf, type TagRule } from './freshness.js';
import type { RequestContext, ServedManifest } from './registry.js';

interface ListsOptions {
  readonly airGapped: boolean;
  /** How long what an upstream listed is believed. */
  readonly rule: TagRule;
  /** Milliseconds that an empty list of referrers is believed: signatures come shortly after their image (WIRE A113). */
  readonly emptyFor: number;
}

interface ListsPorts {
  readonly catalog: Catalog;
  readonly waits: PullWaits;
  readonly log: Log;
}

export interface ServedList<T> extends Pick<ServedManifest, 'origin' | 'source'> {
  /** Sorted. */
  readonly entries: readonly T[];
  /** Why a list is served although the upstream should have been asked. */
  readonly warning?: string;
}

const WARNING = 'served from the cache, the upstream could not be asked';

/**
 * The lists of the pull API. What an upstream said is kept and believed for a while, as tags are; what we hold and have
 * learnt after it said so is added, and is the whole answer while it was never asked and cannot be.
 */
export class Lists {
  constructor(
    private readonly ports: ListsPorts,
    private readonly facts: FactCache,
    private readonly options: ListsOptions,
  ) {}

  /** Rejects with the Failure that the client is to see: NAME_UNKNOWN for a repository that nobody knows. */
  tags(repository: Repository, context: RequestContext): Promise<ServedList<string>> {
    return this.serve(
      { kind: 'tags', repository },
      () => this.ports.catalog.findTags(repository),
      (tag) => tag,
      this.options.rule,
      context,
    );
  }

  referrers(repository: Repository, digest: Digest, context: RequestContext): Promise<ServedList<Descriptor>> {
    const { rule, emptyFor } = this.options;
    return this.serve(
      { kind: 'referrers', repository, digest },
      () => this.ports.catalog.findReferrers(repository, digest),
      (referrer) => referrer.digest,
      ({ listed }) =>
        listed?.entries.length === 0
          ? { fresh: Math.min(rule.fresh, emptyFor), stale: Math.min(rule.fresh, emptyFor) }
          : rule,
      context,
    );
  }

  /** What is cached, by the names under which clients can pull it. */
  repositories(names: RepositoryNames, page: PageQuery & { readonly n: number }): Promise<Page<string>> {
    return this.ports.catalog.listRepositories(names, page);
  }

  private async serve<T>(
    target: ListTarget,
    find: () => Promise<Listing<T>>,
    keyOf: (entry: T) => string,
    ruleOf: TagRule | ((listing: Listing<T>) => TagRule),
    context: RequestContext,
  ): Promise<ServedList<T>> {
    const known = await find();
    const rule = typeof ruleOf === 'function' ? ruleOf(known) : ruleOf;
    if (this.options.airGapped) {
      if (target.kind === 'tags' && !holds(known))
        throw new Failure('NAME_UNKNOWN', 'not in the cache, and this server is air-gapped');
      return { entries: merged(known, keyOf), origin: 'hit' };
    }
    if (known.listed) {
      const freshness = freshnessOf(known.listed.age, rule);
      if (freshness === 'stale') this.revalidate(target, rule, context);
      if (freshness !== 'expired')
        return { entries: merged(known, keyOf), origin: freshness === 'fresh' ? 'hit' : 'stale' };
    }
    let pulled: Outcome;
    try {
      pulled = await this.pull(target, context);
    } catch (error) {
      const failure = Failure.of(error);
      // A "no" about what was once there is an answer; trouble is not.
      if (!holds(known) || (failure.status < 500 && failure.reason !== 'RATE_LIMITED')) throw failure;
      return { entries: merged(known, keyOf), origin: 'stale-on-error', warning: WARNING };
    }
    const { shared, source } = pulled;
    const origin = known.listed ? 'revalidated' : shared ? 'joined' : 'fetched';
    return { entries: merged(await find(), keyOf), origin, ...(source ? { source } : {}) };
  }

  private async pull(target: ListTarget, context: RequestContext): Promise<Outcome> {
    const { repository } = target;
    // No tag and no digest holds a slash.
    const reference = target.kind === 'tags' ? 'tags/list' : `referrers/${target.digest}`;
    const no = this.facts.no(repository, reference);
    if (no) throw Failure.from(no);
    try {
      return await this.ports.waits.wait(
        request(target, 'client', context),
        context.signal ? { signal: context.signal } : {},
      );
    } catch (error) {
      const failure = Failure.of(error);
      if (failure.status === 404 || failure.status === 403) this.facts.addNo(repository, reference, failure.toRecord());
      throw failure;
    }
  }

  private revalidate(target: ListTarget, { fresh }: TagRule, context: RequestContext): void {
    this.ports.waits
      .request({ ...request(target, 'revalidate', context), lane: 'background', maxAge: fresh })
      .catch((error: unknown) => this.ports.log.debug({ target, error: String(error) }, 'cannot ask for a list again'));
  }
}

function request(target: ListTarget, cause: PullRequest['cause'], { requestId, via }: RequestContext): PullRequest {
  return { target, lane: 'interactive', cause, ...(requestId ? { requestId } : {}), ...(via ? { via } : {}) };
}

function holds({ listed, held }: Listing<unknown>): boolean {
  return listed !== undefined || held.length > 0;
}

/** What the upstream listed comes first: its descriptors may tell more than ours. */
function merged<T>({ listed, held }: Listing<T>, keyOf: (entry: T) => string): T[] {
  const all = new Map([...held, ...(listed?.entries ?? [])].map((entry) => [keyOf(entry), entry]));
  return [...all].sort(([a], [b]) => byBytes(a, b)).map(([, entry]) => entry);
}
