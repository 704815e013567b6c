import { isIPv4, isIPv6 } from 'node:net';
import { isDigest, parseDigest } from './digest.js';
import { Failure } from './failure.js';
import type { Digest, Repository } from './types.js';

// distribution-spec "Pulling manifests": <name> and <reference>.
const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const DOCKER_HUB = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io']);
/** Host, slash and path together; what registries and clients agree to bear. */
const MOST = 255;

/**
 * The one spelling of a registry host: lower case, Docker Hub's aliases as `docker.io`, default port stripped.
 * Undefined when it is none: scheme, path, user, white space, or a number that resolvers read as an address.
 */
export function canonicalHost(host: string): string | undefined {
  if (host.length === 0 || host.length > MOST) return undefined;
  const match = /^(\[[0-9a-fA-F:.]+\]|[^[\]:]+)(?::([0-9]{1,5}))?$/.exec(host);
  if (!match) return undefined;
  const name = match[1]!.toLowerCase();
  const port = match[2] === undefined ? undefined : Number(match[2]);
  if (port !== undefined && (port < 1 || port > 65535)) return undefined;
  if (name.startsWith('[')) {
    if (!isIPv6(name.slice(1, -1))) return undefined;
  } else {
    const labels = name.split('.');
    if (!labels.every((label) => LABEL.test(label))) return undefined;
    // `2130706433`, `0x7f.1`, `127.1`: numbers that only some resolvers take for an address.
    if (/^(?:0x[0-9a-f]*|[0-9]+)$/.test(labels.at(-1)!) && !isIPv4(name)) return undefined;
  }
  const canonical = DOCKER_HUB.has(name) ? 'docker.io' : name;
  return port === undefined || port === 443 ? canonical : `${canonical}:${port}`;
}

export function isRepositoryPath(path: string): boolean {
  return path.length > 0 && path.length <= MOST && path.split('/').every((component) => COMPONENT.test(component));
}

export function isTag(text: string): boolean {
  return TAG.test(text);
}

/** The canonical repository; one-component names of Docker Hub are in `library/`. Throws Failure NAME_INVALID. */
export function repositoryOf(host: string, path: string): Repository {
  const upstream = canonicalHost(host);
  if (upstream === undefined) throw new Failure('NAME_INVALID', 'invalid registry host');
  if (!isRepositoryPath(path)) throw new Failure('NAME_INVALID');
  const full = upstream === 'docker.io' && !path.includes('/') ? `library/${path}` : path;
  if (upstream.length + 1 + full.length > MOST) throw new Failure('NAME_INVALID', 'repository name too long');
  return { upstream, path: full };
}

export function formatRepository({ upstream, path }: Repository): string {
  return `${upstream}/${path}`;
}

/** Whether a first path segment can only be a host: it holds a dot or a port, or is `localhost`. */
export function looksLikeHost(segment: string): boolean {
  return segment.includes('.') || segment.includes(':') || segment === 'localhost';
}

export interface Reference {
  readonly repository: Repository;
  readonly tag?: string;
  readonly digest?: Digest;
}

/** `[host/]path[:tag][@digest]` as docker writes it; `latest` when neither is given. Throws Failure. */
export function parseReference(text: string, defaultHost = 'docker.io'): Reference {
  const at = text.indexOf('@');
  const digest = at < 0 ? undefined : parseDigest(text.slice(at + 1));
  let name = at < 0 ? text : text.slice(0, at);
  const colon = name.lastIndexOf(':');
  let tag: string | undefined;
  if (colon > name.lastIndexOf('/')) {
    tag = name.slice(colon + 1);
    if (!isTag(tag)) throw new Failure('MANIFEST_INVALID', 'invalid tag');
    name = name.slice(0, colon);
  }
  const slash = name.indexOf('/');
  const first = name.slice(0, Math.max(slash, 0));
  const repository = slash > 0 && looksLikeHost(first) ? repositoryOf(first, name.slice(slash + 1)) : repositoryOf(defaultHost, name);
  if (digest === undefined) return { repository, tag: tag ?? 'latest' };
  return tag === undefined ? { repository, digest } : { repository, tag, digest };
}

export function formatReference({ repository, tag, digest }: Reference): string {
  return `${formatRepository(repository)}${tag ? `:${tag}` : ''}${digest ? `@${digest}` : ''}`;
}

/** A tag or a digest, as it stands in a manifest route. Throws Failure DIGEST_INVALID or MANIFEST_INVALID. */
export function checkManifestReference(text: string): string {
  if (text.includes(':')) return parseDigest(text);
  if (!isTag(text) && !isDigest(text)) throw new Failure('MANIFEST_INVALID', 'invalid tag');
  return text;
}
