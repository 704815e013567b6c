import { LRUCache } from 'lru-cache';
import { canonicalHost, Failure } from '#oci';
import { mayBePublic } from './addresses.js';
import { DockerConfig } from './credentials/docker-config.js';
import { fromEcr } from './credentials/ecr.js';
import { type CredentialSource, fixed, fromPasswordFile } from './credentials/source.js';
import { Gate } from './gate.js';
import { Limits } from './limits.js';
import {
  type AuthOptions,
  DEFAULT_BREAKER,
  DEFAULT_HOLD,
  DEFAULT_MAX_CONNECTIONS,
  type MirrorOptions,
  type RegistryOptions,
  type TlsOptions,
  type UpstreamOptions,
  WELL_KNOWN_REGISTRIES,
} from './options.js';

/** One place to ask: an upstream itself, as configured or as its name alone says, or a mirror of it. */
export interface Endpoint {
  /** Canonical; of a mirror its own. */
  readonly host: string;
  /** Where its API is: `https://registry-1.docker.io`. */
  readonly origin: string;
  /** By name, so that it may have a private address. */
  readonly configured: boolean;
  readonly credentials: CredentialSource;
  readonly tls?: TlsOptions;
  readonly maxConnections: number;
  readonly gate: Gate;
  readonly limits: Limits;
  readonly proxy?: string;
  readonly mirror?: Mirror;
}

/**
 *   asked for | mirror          | mirror with `resolve` | the upstream itself
 *   a digest  | yes, verified   | yes, verified         | yes, verified
 *   a tag     | no              | yes                   | yes
 */
interface Mirror {
  readonly resolve: boolean;
  /** The upstream that it mirrors; told as `ns`, as containerd tells it. */
  readonly of: string;
  /** Put before the repository's path: `proxy/` */
  readonly prefix: string;
}

/** Upstreams that nobody configured are remembered up to this number (their breakers and challenges with them). */
const MOST_UNLISTED = 1_000;
const API_HOSTS: Readonly<Record<string, string>> = { 'docker.io': 'registry-1.docker.io' };

/** Who may be pulled from, and where they are. */
export class Endpoints {
  private readonly configured = new Map<string, Endpoint>();
  /** By upstream, in the order in which they are asked. */
  private readonly mirrors = new Map<string, readonly Endpoint[]>();
  private readonly byOrigin = new Map<string, Endpoint>();
  private readonly unlisted = new LRUCache<string, Endpoint>({ max: MOST_UNLISTED });
  private readonly wellKnown: ReadonlySet<string>;
  private readonly docker: DockerConfig | undefined;

  constructor(private readonly options: UpstreamOptions) {
    this.wellKnown = new Set(options.wellKnown ?? WELL_KNOWN_REGISTRIES);
    this.docker = options.dockerConfig ? new DockerConfig(options.dockerConfig) : undefined;
    const registries = options.registries ?? [];
    for (const registry of registries) {
      const host = canonicalHost(registry.name);
      if (host === undefined) throw new Error(`not a registry host: ${registry.name}`);
      const origin = originOf(registry.scheme ?? 'https', host);
      const endpoint = this.endpoint(host, origin, registry);
      this.configured.set(host, endpoint);
      this.byOrigin.set(origin, endpoint);
    }
    for (const { name, mirrors = [] } of registries) {
      const of = canonicalHost(name) as string;
      this.mirrors.set(
        of,
        mirrors.map((mirror) => this.mirrorEndpoint(mirror, of)),
      );
    }
  }

  /** No network. */
  allows(host: string): boolean {
    if (this.configured.has(host)) return true;
    if (canonicalHost(host) !== host) return false;
    if (this.isWellKnown(host)) return true;
    return this.options.allowUnlisted === true && mayBePublic(new URL(`https://${host}`).hostname);
  }

  /** In the order in which they are to be asked, the upstream itself last. Throws Failure NAME_UNKNOWN when it may not be pulled from. */
  find(host: string, byDigest: boolean): readonly Endpoint[] {
    const mirrors = this.mirrors.get(host) ?? [];
    return [...mirrors.filter(({ mirror }) => byDigest || mirror?.resolve), this.own(host)];
  }

  /** The configured upstream at exactly this scheme, host and port. */
  at(origin: string): Endpoint | undefined {
    return this.byOrigin.get(origin);
  }

  /** Configured ones, their mirrors, and what was asked lately; each host once. */
  known(): Endpoint[] {
    const all = [...this.configured.values(), ...[...this.mirrors.values()].flat(), ...this.unlisted.values()];
    return [...new Map(all.reverse().map((endpoint) => [endpoint.host, endpoint])).values()].reverse();
  }

  private own(host: string): Endpoint {
    const known = this.configured.get(host) ?? this.unlisted.get(host);
    if (known) return known;
    if (!this.allows(host)) throw new Failure('NAME_UNKNOWN', 'this upstream registry is not configured');
    const endpoint = { ...this.endpoint(host, originOf('https', host)), configured: false };
    this.unlisted.set(host, endpoint);
    return endpoint;
  }

  private endpoint(host: string, origin: string, registry?: RegistryOptions): Endpoint {
    return {
      host,
      origin,
      configured: true,
      credentials: this.credentials(host, registry?.auth),
      tls: registry?.tls,
      maxConnections: registry?.maxConnections ?? DEFAULT_MAX_CONNECTIONS,
      gate: this.gate(host),
      limits: new Limits(registry?.limits ?? {}),
      proxy: registry?.proxy,
    };
  }

  /** With the credentials and the TLS that are configured for its own host. */
  private mirrorEndpoint({ url, resolve = false }: MirrorOptions, of: string): Endpoint {
    const { origin, host: name, pathname } = new URL(url);
    const host = canonicalHost(name);
    if (host === undefined) throw new Error(`not a registry host: ${name}`);
    const path = pathname.replace(/^\/+|\/+$/g, '').replace(/^v2(?:\/|$)/, '');
    const known = this.configured.get(host);
    const endpoint = known ? { ...known, origin } : this.endpoint(host, origin);
    this.byOrigin.set(origin, this.byOrigin.get(origin) ?? endpoint);
    return { ...endpoint, mirror: { resolve, of, prefix: path === '' ? '' : `${path}/` } };
  }

  private credentials(host: string, auth: AuthOptions = {}): CredentialSource {
    const { ecr, passwordFile, ...own } = auth;
    if (ecr) return fromEcr(host, ecr);
    if (passwordFile) return fromPasswordFile(own.user, passwordFile);
    if (own.user || own.token || own.identityToken) return fixed(own);
    return this.docker?.sourceFor(host) ?? fixed(undefined);
  }

  private isWellKnown(host: string): boolean {
    return (
      this.wellKnown.has(host) ||
      host.split('.').some((_, i, labels) => i > 0 && this.wellKnown.has(`*.${labels.slice(i).join('.')}`))
    );
  }

  private gate(host: string): Gate {
    const { breaker, hold = DEFAULT_HOLD, onPaused, onFailing } = this.options;
    return new Gate(host, {
      hold,
      breaker: { ...DEFAULT_BREAKER, ...breaker },
      onPaused: (pause) => onPaused?.(host, pause),
      onFailing: (until) => onFailing?.(host, until),
    });
  }
}

function originOf(scheme: string, host: string): string {
  return new URL(`${scheme}://${API_HOSTS[host] ?? host}`).origin;
}
