import { ClosedUpstream } from './closed/closed-upstream.js';
import { HelloWorld } from './closed/hello-world.js';
import type { UpstreamOptions } from './options.js';
import type { Upstream } from './port.js';
import { RegistryClient } from './registry-client.js';

export { mayBePublic } from './addresses.js';
export type { BreakerOptions, Credentials, RegistryOptions, Timeouts, TlsOptions, UpstreamOptions } from './options.js';
export { WELL_KNOWN_REGISTRIES } from './options.js';
export { proxiesOf } from './proxies.js';

/** Throws Error for a registry name that is no `host[:port]`. No network until the first call. */
export function createUpstream(options: UpstreamOptions = {}): Upstream {
  return new RegistryClient(options);
}

/** Never asks anybody; `allows` decides which names are known. */
export function createAirGapped(allows: (host: string) => boolean): Upstream {
  return new ClosedUpstream('not in the cache, and this server is air-gapped', allows);
}

/** Has one built-in image and asks nobody. */
export function createHelloWorld(): Upstream {
  return new HelloWorld();
}
