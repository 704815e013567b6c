import { LRUCache } from 'lru-cache';
import { canonicalHost, Failure } from '#oci';
import { mayBePublic } from './addresses.js';
import { Breaker } from './breaker.js';
import {
  type Credentials,
  DEFAULT_BREAKER,
  DEFAULT_MAX_CONNECTIONS,
  type TlsOptions,
  type UpstreamOptions,
  WELL_KNOWN_REGISTRIES,
} from './options.js';

/** One upstream as configured, or as its name alone says. */
export interface Endpoint {
  /** Canonical. */
  readonly host: string;
  /** Where its API is: `https://registry-1.docker.io`. */
  readonly origin: string;
  /** By name, so that it may have a private address. */
  readonly configured: boolean;
  readonly credentials?: Credentials;
  readonly tls?: TlsOptions;
  readonly maxConnections: number;
  readonly breaker: Breaker;
}

/** Upstreams that nobody configured are remembered up to this number (their breakers and challenges with them). */
const MOST_UNLISTED = 1_000;
const API_HOSTS: Readonly<Record<string, string>> = { 'docker.io': 'registry-1.docker.io' };

/** Who may be pulled from, and where they are. */
export class Endpoints {
  private readonly configured = new Map<string, Endpoint>();
  private readonly byOrigin = new Map<string, Endpoint>();
  private readonly unlisted = new LRUCache<string, Endpoint>({ max: MOST_UNLISTED });
  private readonly wellKnown: ReadonlySet<string>;

  constructor(private readonly options: UpstreamOptions) {
    this.wellKnown = new Set(options.wellKnown ?? WELL_KNOWN_REGISTRIES);
    for (const registry of options.registries ?? []) {
      const host = canonicalHost(registry.name);
      if (host === undefined) throw new Error(`not a registry host: ${registry.name}`);
      const endpoint: Endpoint = {
        host,
        origin: originOf(registry.scheme ?? 'https', host),
        configured: true,
        credentials: registry.auth,
        tls: registry.tls,
        maxConnections: registry.maxConnections ?? DEFAULT_MAX_CONNECTIONS,
        breaker: this.breaker(host),
      };
      this.configured.set(host, endpoint);
      this.byOrigin.set(endpoint.origin, endpoint);
    }
  }

  /** No network. */
  allows(host: string): boolean {
    if (this.configured.has(host)) return true;
    if (canonicalHost(host) !== host) return false;
    if (this.isWellKnown(host)) return true;
    return this.options.allowUnlisted === true && mayBePublic(new URL(`https://${host}`).hostname);
  }

  /** Throws Failure NAME_UNKNOWN when it may not be pulled from. */
  find(host: string): Endpoint {
    const known = this.configured.get(host) ?? this.unlisted.get(host);
    if (known) return known;
    if (!this.allows(host)) throw new Failure('NAME_UNKNOWN', 'this upstream registry is not configured');
    const endpoint: Endpoint = {
      host,
      origin: originOf('https', host),
      configured: false,
      maxConnections: DEFAULT_MAX_CONNECTIONS,
      breaker: this.breaker(host),
    };
    this.unlisted.set(host, endpoint);
    return endpoint;
  }

  /** The configured upstream at exactly this scheme, host and port. */
  at(origin: string): Endpoint | undefined {
    return this.byOrigin.get(origin);
  }

  private isWellKnown(host: string): boolean {
    return (
      this.wellKnown.has(host) ||
      host.split('.').some((_, i, labels) => i > 0 && this.wellKnown.has(`*.${labels.slice(i).join('.')}`))
    );
  }

  private breaker(host: string): Breaker {
    return new Breaker({ ...DEFAULT_BREAKER, ...this.options.breaker }, (until) =>
      this.options.onPaused?.(host, until),
    );
  }
}

function originOf(scheme: string, host: string): string {
  return new URL(`${scheme}://${API_HOSTS[host] ?? host}`).origin;
}
