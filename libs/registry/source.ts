import type { RepositoryNames } from '#catalog';
import { canonicalHost, Failure, looksLikeHost, type Repository, repositoryOf } from '#oci';

/** How a client named a repository. */
export interface SourceRequest {
  /** From the route; may begin with an upstream's host. */
  readonly name: string;
  /** The `ns` query value: the host that the client wants, sent by containerd to mirrors. */
  readonly ns?: string;
  /** The `X-Registry` header: the same for clients that cannot set the query. `ns` goes before it. */
  readonly hostHeader?: string;
}

export interface SourceRules {
  /** Upstream of names that tell no host; empty: there is none. */
  readonly defaultNs: string;
  /** Canonical hosts that the configuration names as upstreams. */
  readonly configured: ReadonlySet<string>;
  /** Whether this canonical host may be pulled from at all. No network. */
  allows(host: string): boolean;
}

/**
 * The repository that a request means, the same one (and so one cache key) for `ns`, `X-Registry`, the host in the path
 * and the default upstream. Throws Failure NAME_INVALID for bad grammar, NAME_UNKNOWN for an upstream that may not be used.
 */
export function resolveSource(request: SourceRequest, rules: SourceRules): Repository {
  const repository = locate(request, rules);
  if (!rules.allows(repository.upstream)) throw new Failure('NAME_UNKNOWN', 'registry not allowed');
  return repository;
}

/**
 * The names under which a client that names no repository (`_catalog`) can ask for all of them: with a host in `ns` or
 * `X-Registry` that upstream's own paths, else all in the in-path form but those of the default upstream. Throws as above.
 */
export function namesFor(request: Omit<SourceRequest, 'name'>, rules: SourceRules): RepositoryNames {
  const named = request.ns ?? request.hostHeader;
  if (named !== undefined) {
    const only = canonicalHost(named);
    if (only === undefined) throw new Failure('NAME_INVALID', 'invalid registry host');
    if (!rules.allows(only)) throw new Failure('NAME_UNKNOWN', 'registry not allowed');
    return { only };
  }
  const upstream = canonicalHost(rules.defaultNs);
  return upstream === undefined ? {} : { plain: { upstream, hosts: [...rules.configured] } };
}

function locate({ name, ns, hostHeader }: SourceRequest, rules: SourceRules): Repository {
  const slash = name.indexOf('/');
  const first = name.slice(0, Math.max(slash, 0));
  const firstHost = canonicalHost(first);
  const rest = name.slice(slash + 1);
  const named = ns ?? hostHeader;
  if (named !== undefined) {
    const host = canonicalHost(named);
    if (host === undefined) throw new Failure('NAME_INVALID', 'invalid registry host');
    // hosts.toml with override_path sends the host in the path as well as in ns.
    return repositoryOf(host, firstHost === host ? rest : name);
  }
  if (looksLikeHost(first) || (firstHost !== undefined && rules.configured.has(firstHost)))
    return repositoryOf(first, rest);
  if (rules.defaultNs === '') throw new Failure('NAME_UNKNOWN', 'no registry named and no default configured');
  return repositoryOf(rules.defaultNs, name);
}
