import type { LookupFunction } from 'node:net';
import type { EcrOptions } from './credentials/ecr.js';
import type { LimitOptions } from './limits.js';
import type { Pause } from './port.js';

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
  /** This installation's hop for `Via` (RFC 9110 7.6.3), asked at every request. Default: none, and no Via. */
  readonly hop?: () => string | undefined;
  readonly breaker?: Partial<BreakerOptions>;
  /** Milliseconds that an interactive request waits for the end of a pause before it is refused. Default 2 s. */
  readonly hold?: number;
  /** Called when an upstream asked us to stay away, by 429 or by an exhausted window. */
  readonly onPaused?: (upstream: string, pause: Pause) => void;
  /** Called when an upstream is left alone after repeated failures; `until` in epoch milliseconds. */
  readonly onFailing?: (upstream: string, until: number) => void;
  /** A docker `config.json`, for registries without credentials of their own. Read again when it changes. Its helpers are run. */
  readonly dockerConfig?: string;
  /** For registries without one of their own; as the environment has them, see `proxiesOf`. Default none. */
  readonly proxies?: ProxyOptions;
  /** Name resolution. Default: the system's. */
  readonly lookup?: LookupFunction;
}

export interface RegistryOptions {
  /** `host[:port]`. */
  readonly name: string;
  /** Default https. Plain http is used only where it is configured. */
  readonly scheme?: 'http' | 'https';
  /** Default: what `dockerConfig` has for it, else anonymous. */
  readonly auth?: AuthOptions;
  readonly tls?: TlsOptions;
  readonly limits?: LimitOptions;
  /** `http://[user:password@]host:port` of a proxy for this registry and everything that it leads to. */
  readonly proxy?: string;
  /** Other endpoints of the same content, asked first, in this order. */
  readonly mirrors?: readonly MirrorOptions[];
  /** Connections at a time to each of its origins; further requests wait. Default 256. */
  readonly maxConnections?: number;
}

export interface ProxyOptions {
  /** Proxy for http and for https. */
  readonly http?: string;
  readonly https?: string;
  /** Hosts that are reached directly: `NO_PROXY`. */
  readonly except?: string;
}

export interface MirrorOptions {
  /** `https://host[:port][/prefix]`; the prefix stands before the repository. Credentials and TLS are those of its own host. */
  readonly url: string;
  /** Trusted to say what a tag names, not only to give bytes. Default false. */
  readonly resolve?: boolean;
}

/**
 * A `token` is sent as a bearer token as it is, and wins; an identity token buys bearer tokens; user and password answer Basic
 * challenges and buy bearer tokens.
 */
export interface Credentials {
  readonly user?: string;
  readonly password?: string;
  readonly token?: string;
  /** OAuth2 refresh token, as `docker login` keeps it for some registries. */
  readonly identityToken?: string;
}

export interface AuthOptions extends Credentials {
  /** Holds the password, and goes before it; read again when it changes. */
  readonly passwordFile?: string;
  /** The registry is Amazon ECR. */
  readonly ecr?: EcrOptions;
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

export const DEFAULT_HOLD = 2_000;

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
