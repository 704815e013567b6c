import { canonicalHost, Failure, isRepositoryPath, looksLikeHost, type Repository, repositoryOf } from '#oci';

export interface SourceRules {
  /** Upstream of names that carry none; empty: there is no default. */
  readonly defaultNs: string;
  /** Named in the configuration, by its canonical host. */
  isConfigured(host: string): boolean;
  /** May be pulled from. */
  allows(host: string): boolean;
}

/**
 * Where a name comes from: `ns` (or X-Registry), else a host in the path, else the default. All four ways give one key.
 *
 * | ns or header | first segment        | repository            |
 * |--------------|----------------------|-----------------------|
 * | given        | canonically the same | the rest, below it    |
 * | given        | anything else        | the name, below it    |
 * | -            | configured, or x.y, x:1, localhost | the rest, below that |
 * | -            | anything else        | the name, below the default |
 *
 * Throws Failure NAME_INVALID, or NAME_UNKNOWN for an upstream that may not be pulled from.
 */
export function resolveSource(request: { name: string; ns?: string; header?: string }, rules: SourceRules): Repository {
  const { name } = request;
  const slash = name.indexOf('/');
  const first = slash < 0 ? undefined : canonicalHost(name.slice(0, slash));
  const rest = name.slice(slash + 1);
  const given = request.ns ?? request.header;
  let host: string | undefined;
  let path = name;
  if (given !== undefined) {
    host = canonicalHost(given);
    if (host === undefined) throw new Failure('NAME_INVALID', 'invalid ns');
    if (first === host && isRepositoryPath(rest)) path = rest;
  } else if (first !== undefined && (looksLikeHost(name.slice(0, slash)) || rules.isConfigured(first))) {
    host = first;
    path = rest;
  } else {
    if (rules.defaultNs === '') throw new Failure('NAME_UNKNOWN', 'the name has no registry, and there is no default');
    host = rules.defaultNs;
  }
  const repository = repositoryOf(host, path);
  if (!rules.allows(repository.upstream)) throw new Failure('NAME_UNKNOWN', 'this registry is not one to pull from');
  return repository;
}
