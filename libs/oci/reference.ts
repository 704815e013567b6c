import { isIPv4, isIPv6 } from 'node:net';
import { parseDigest } from './digest.js';
import { Failure } from './failure.js';
import type { Digest, Repository } from './types.js';

const COMPONENT = '[a-z0-9]+(?:(?:\\.|__?|-+)[a-z0-9]+)*';
const PATH = new RegExp(`^${COMPONENT}(?:/${COMPONENT})*$`);
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const HOST_AND_PORT = /^(\[[0-9a-f:.]{2,45}\]|[a-z0-9.-]{1,253})(?::([1-9][0-9]{0,4}))?$/;
/** What URL parsers read as an IPv4 address: a last label of digits, or of hex after 0x. */
const NUMERIC_LABEL = /^(?:[0-9]+|0x[0-9a-f]*)$/;
/** distribution-spec "Pulling manifests": many clients limit host, slash and name to 255 characters. */
const MAX_NAME = 255;
const DOCKER_HUB = 'docker.io';
const DOCKER_HUB_ALIASES: ReadonlySet<string> = new Set([DOCKER_HUB, 'index.docker.io', 'registry-1.docker.io']);

/**
 * The one spelling of a registry host: lower case, `:443` stripped, Docker Hub's aliases as `docker.io`, IPv6 in its
 * shortest form in brackets. Undefined when it is no `host[:port]`, or a number that URL parsers turn into an address
 * (`2130706433`, `0x7f.1`, `127.1`).
 */
export function canonicalHost(text: string): string | undefined {
  if (text.length > MAX_NAME) return undefined;
  const match = HOST_AND_PORT.exec(text.toLowerCase());
  if (match === null) return undefined;
  const host = match[1]?.startsWith('[') ? canonicalIPv6(match[1]) : canonicalName(match[1] ?? '');
  const port = match[2];
  if (host === undefined || Number(port ?? 0) > 65535) return undefined;
  return port === undefined || port === '443' ? host : `${host}:${port}`;
}

function canonicalIPv6(bracketed: string): string | undefined {
  return isIPv6(bracketed.slice(1, -1)) ? new URL(`http://${bracketed}`).hostname : undefined;
}

function canonicalName(name: string): string | undefined {
  const labels = name.split('.');
  if (NUMERIC_LABEL.test(labels.at(-1) ?? '')) return isIPv4(name) ? name : undefined;
  if (!labels.every((label) => LABEL.test(label))) return undefined;
  return DOCKER_HUB_ALIASES.has(name) ? DOCKER_HUB : name;
}

/** Whether a first path segment can only be a host, by Docker's rule: it has a dot or a colon, or is `localhost`. */
export function looksLikeHost(segment: string): boolean {
  return segment.includes('.') || segment.includes(':') || segment.toLowerCase() === 'localhost';
}

/** distribution-spec name grammar, any depth, at most 255 characters. */
export function isRepositoryPath(text: string): boolean {
  return text.length <= MAX_NAME && PATH.test(text);
}

/** distribution-spec tag grammar. */
export function isTag(text: string): boolean {
  return TAG.test(text);
}

/**
 * The canonical repository; one-component names of Docker Hub get `library/`. Throws Failure NAME_INVALID for a bad host
 * or path, or when host, slash and path are longer than 255 characters.
 */
export function repositoryOf(host: string, path: string): Repository {
  const upstream = canonicalHost(host);
  if (upstream === undefined) throw new Failure('NAME_INVALID', 'invalid registry host');
  if (!isRepositoryPath(path)) throw new Failure('NAME_INVALID');
  const full = upstream === DOCKER_HUB && !path.includes('/') ? `library/${path}` : path;
  if (upstream.length + 1 + full.length > MAX_NAME) throw new Failure('NAME_INVALID', 'repository name too long');
  return { upstream, path: full };
}

/** `host/path`; parses back to the same repository. */
export function formatRepository(repository: Repository): string {
  return `${repository.upstream}/${repository.path}`;
}

export interface Reference {
  readonly repository: Repository;
  readonly tag?: string;
  readonly digest?: Digest;
}

/**
 * An image reference as Docker writes it: `[host[:port]/]path[:tag][@digest]`; `latest` when neither is given.
 * Throws Failure NAME_INVALID, MANIFEST_INVALID (tag) or DIGEST_INVALID.
 */
export function parseReference(text: string, defaultHost: string = DOCKER_HUB): Reference {
  const at = text.indexOf('@');
  const digest = at < 0 ? undefined : parseDigest(text.slice(at + 1));
  const named = at < 0 ? text : text.slice(0, at);
  const colon = named.lastIndexOf(':');
  const hasTag = colon > named.lastIndexOf('/');
  const tag = hasTag ? named.slice(colon + 1) : digest === undefined ? 'latest' : undefined;
  const name = hasTag ? named.slice(0, colon) : named;
  if (tag !== undefined && !isTag(tag)) throw new Failure('MANIFEST_INVALID');
  const slash = name.indexOf('/');
  const hosted = slash > 0 && looksLikeHost(name.slice(0, slash));
  const repository = hosted
    ? repositoryOf(name.slice(0, slash), name.slice(slash + 1))
    : repositoryOf(defaultHost, name);
  return { repository, ...(tag === undefined ? {} : { tag }), ...(digest === undefined ? {} : { digest }) };
}

/** The full form of a reference; parses back to the same one. */
export function formatReference(reference: Reference): string {
  const { repository, tag, digest } = reference;
  return `${formatRepository(repository)}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
}
