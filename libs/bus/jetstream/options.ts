import { readFile } from 'node:fs/promises';
import { credsAuthenticator, type NodeConnectionOptions } from '@nats-io/transport-node';
import type { Lane } from '../events.js';

export interface JetStreamOptions {
  /** `nats://host:port` or `tls://...`; the first may carry `user:password@` or `token@`. */
  readonly servers: readonly string[];
  readonly user?: string;
  readonly password?: string;
  readonly token?: string;
  /** Path of a `.creds` file (JWT and seed). */
  readonly credsFile?: string;
  /** Paths of PEM files. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  /** One subject token in front of everything, so that several installations can share a NATS. */
  readonly prefix?: string;
  /** Copies of the queue in a cluster; 1 if not given. */
  readonly replicas?: number;
  /** Milliseconds without a heartbeat after which a delivered message goes to another worker; 30,000 if not given. */
  readonly lease?: number;
  /** How the connection is called in the server's own lists. */
  readonly name?: string;
}

/** Every name this library uses inside NATS, by prefix. */
export interface Names {
  readonly stream: string;
  /** `<prefix>.pull.requested.*.*`. */
  readonly pulls: string;
  /** `<prefix>.pull.requested.<lane>.*`. */
  lane(lane: Lane): string;
  pull(lane: Lane, key: string): string;
  /** `<prefix>.signal.`. */
  readonly signals: string;
}

export function namesFor(prefix = 'ociregistry'): Names {
  // A dot would need a stand-in inside the stream's name, and two prefixes could then meet in one stream.
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(prefix)) {
    throw new Error(`the NATS prefix may hold letters, digits, "-" and "_" only, not "${prefix}"`);
  }
  return {
    stream: `${prefix}_PULLS`,
    pulls: `${prefix}.pull.requested.*.*`,
    lane: (lane) => `${prefix}.pull.requested.${lane}.*`,
    pull: (lane, key) => `${prefix}.pull.requested.${lane}.${key}`,
    signals: `${prefix}.signal.`,
  };
}

/** Tries once, at most 5 s; a connection that was made is renewed for ever, with jitter. */
export async function connectionOptions(options: JetStreamOptions): Promise<NodeConnectionOptions> {
  const { servers, login } = withoutLogins(options.servers);
  const { ca, cert, key } = options.tls ?? {};
  return {
    servers,
    name: options.name ?? 'ociregistry',
    timeout: 5_000,
    maxReconnectAttempts: -1,
    // Credentials may be rotated on the server first.
    ignoreAuthErrorAbort: true,
    reconnectTimeWait: 250,
    reconnectJitter: 500,
    reconnectJitterTLS: 500,
    pingInterval: 10_000,
    maxPingOut: 2,
    ...login,
    ...(options.user !== undefined && { user: options.user, pass: options.password ?? '' }),
    ...(options.token !== undefined && { token: options.token }),
    ...(options.credsFile && { authenticator: credsAuthenticator(await readFile(options.credsFile)) }),
    ...(options.tls && { tls: { caFile: ca, certFile: cert, keyFile: key } }),
  };
}

function withoutLogins(urls: readonly string[]): {
  servers: string[];
  login: { user: string; pass: string } | { token: string } | undefined;
} {
  let login: { user: string; pass: string } | { token: string } | undefined;
  const servers = urls.map((given) => {
    const url = new URL(given.includes('://') ? given : `nats://${given}`);
    const [user, pass] = [decodeURIComponent(url.username), decodeURIComponent(url.password)];
    if (user && !login) login = pass ? { user, pass } : { token: user };
    return `${url.protocol}//${url.host}`;
  });
  return { servers, login };
}
