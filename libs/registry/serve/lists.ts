import type { PullSource } from '#bus';
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
import type { Outcome } from '../pulls/pull-waits.js';
import { type Asking, cameBy, isTrouble, type Origin, type RequestContext } from './asking.js';
import { freshnessOf, type TagRule } from './freshness.js';

interface ListsOptions {
  readonly airGapped: boolean;
  /** How long what an upstream listed is believed. */
  readonly rule: TagRule;
  /** Milliseconds that an empty list of referrers is believed: signatures come shortly after their image (WIRE A113). */
  readonly emptyFor: number;
}

export interface ServedList<T> {
  readonly origin: Origin;
  readonly source?: PullSource;
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
    private readonly catalog: Catalog,
    private readonly asking: Asking,
    private readonly options: ListsOptions,
  ) {}

  /** Rejects with the Failure that the client is to see: NAME_UNKNOWN for a repository that nobody knows. */
  tags(repository: Repository, context: RequestContext): Promise<ServedList<string>> {
    return this.serve(
      { kind: 'tags', repository },
      () => this.catalog.findTags(repository),
      (tag) => tag,
      this.options.rule,
      context,
    );
  }

  referrers(repository: Repository, digest: Digest, context: RequestContext): Promise<ServedList<Descriptor>> {
    const { rule, emptyFor } = this.options;
    return this.serve(
      { kind: 'referrers', repository, digest },
      () => this.catalog.findReferrers(repository, digest),
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
    return this.catalog.listRepositories(names, page);
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
      if (freshness === 'stale') this.asking.revalidate(target, rule.fresh, context);
      if (freshness !== 'expired')
        return { entries: merged(known, keyOf), origin: freshness === 'fresh' ? 'hit' : 'stale' };
    }
    let pulled: Outcome;
    try {
      pulled = await this.pull(target, rule, context);
    } catch (error) {
      const failure = Failure.of(error);
      if (!holds(known) || !isTrouble(failure)) throw failure;
      return { entries: merged(known, keyOf), origin: 'stale-on-error', warning: WARNING };
    }
    const entries = merged(await find(), keyOf);
    return { entries, ...cameBy(pulled), ...(known.listed ? { origin: 'revalidated' } : {}) };
  }

  private async pull(target: ListTarget, { fresh }: TagRule, context: RequestContext): Promise<Outcome> {
    this.asking.refuseKnownNo(target);
    // What another gateway's clients had listed since we looked will do.
    return this.asking.wait(this.asking.request(target, 'client', context, { maxAge: fresh }), context);
  }
}

function holds({ listed, held }: Listing<unknown>): boolean {
  return listed !== undefined || held.length > 0;
}

/** What the upstream listed comes first: its descriptors may tell more than ours. */
function merged<T>({ listed, held }: Listing<T>, keyOf: (entry: T) => string): T[] {
  const all = new Map([...held, ...(listed?.entries ?? [])].map((entry) => [keyOf(entry), entry]));
  return [...all].sort(([a], [b]) => byBytes(a, b)).map(([, entry]) => entry);
}
