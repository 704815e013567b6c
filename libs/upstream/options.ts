import type { LookupFunction } from 'node:net';

export interface UpstreamOptions {
  /** Configured by name: may be pulled from, may have private addresses, get their credentials. */
  readonly registries?: readonly RegistryOptions[];
  /** Registries that nobody configured and that are not well known may be pulled from too, at public addresses. Default false. */
  readonly allowUnlisted?: boolean;
  /** Hosts that need no configuration; `*.` in front stands for any sub-domain. Default `WELL_KNOWN_REGISTRIES`. */
  readonly wellKnown?: readonly string[];
  readonly timeouts?: Partial<Timeouts>;
  /** Default `ociregistry`. */
  readonly userAgent?: string;
  /** Named in `Via` (`1.1 ociregistry-<instance>`), so that an installation recognises itself as its own upstream. Default: no Via. */
  readonly instance?: string;
  readonly breaker?: Partial<BreakerOptions>;
  /** Called when an upstream is paused after repeated failures; `until` in epoch milliseconds. */
  readonly onPaused?: (upstream: string, until: number) => void;
  /** Name resolution. Default: the system's. */
  readonly lookup?: LookupFunction;
}

export interface RegistryOptions {
  /** `host[:port]`. */
  readonly name: string;
  /** Default https. Plain http is used only where it is configured. */
  readonly scheme?: 'http' | 'https';
  readonly auth?: Credentials;
  readonly tls?: TlsOptions;
  /** Connections at a time to each of its origins; further requests wait. Default 256. */
  readonly maxConnections?: number;
}

/** A `token` is sent as a bearer token as it is, and wins; user and password answer Basic challenges and buy bearer tokens. */
export interface Credentials {
  readonly user?: string;
  readonly password?: string;
  readonly token?: string;
}

/** PEM texts. */
export interface TlsOptions {
  /** Trusted instead of the system's authorities. */
  readonly ca?: string | readonly string[];
  /** Client certificate and its key; shown to this registry only. */
  readonly cert?: string;
  readonly key?: string;
  readonly insecureSkipVerify?: boolean;
}

/** Milliseconds. There is no limit for a whole download. */
export interface Timeouts {
  /** Name resolution, TCP and TLS. */
  readonly connect: number;
  /** From the request to the end of the answer's headers. */
  readonly headers: number;
  /** Between two pieces of a body. */
  readonly body: number;
}

/** B47, C8: undici's timers may be a second late, and whoever waits is to know within 15 s. */
export const DEFAULT_TIMEOUTS: Timeouts = { connect: 5_000, headers: 14_000, body: 30_000 };

export interface BreakerOptions {
  /** Failures in a row that open it. */
  readonly failures: number;
  /** Milliseconds of the first pause; each failed probe doubles it. */
  readonly firstPause: number;
  readonly longestPause: number;
}

export const DEFAULT_BREAKER: BreakerOptions = { failures: 5, firstPause: 2_000, longestPause: 30_000 };

export const DEFAULT_MAX_CONNECTIONS = 256;

/** Public registries that everybody pulls from. */
export const WELL_KNOWN_REGISTRIES: readonly string[] = [
  'docker.io',
  'registry.k8s.io',
  'k8s.gcr.io',
  'ghcr.io',
  'quay.io',
  'gcr.io',
  '*.gcr.io',
  '*.pkg.dev',
  'public.ecr.aws',
  'mcr.microsoft.com',
  'registry.gitlab.com',
  'lscr.io',
  'nvcr.io',
  'cgr.dev',
  'docker.elastic.co',
  'registry.access.redhat.com',
  'registry.redhat.io',
  'registry.opensuse.org',
  'registry.suse.com',
  'container-registry.oracle.com',
  'registry.fedoraproject.org',
  'dhi.io',
  'xpkg.upbound.io',
  'xpkg.crossplane.io',
];
