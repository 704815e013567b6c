import { readFileSync } from 'node:fs';
import type { Config } from '#config';
import type { Log } from '#registry';
import type { Upstream } from '#upstream';
import {
  createAirGapped,
  createHelloWorld,
  createUpstream,
  proxiesOf,
  type RegistryOptions,
  type UpstreamOptions,
} from '#upstream/adapters';

type Events = Pick<UpstreamOptions, 'hop' | 'onPaused' | 'onFailing'>;

/** The registries as configured. Says aloud what is configured to be unsafe. */
export function openUpstream(config: Config, log: Log, events: Events): Upstream {
  const unchecked = config.registries
    .filter((registry) => wireOf(registry).tls?.insecureSkipVerify)
    .map(({ name }) => name);
  if (unchecked.length > 0) {
    const danger = 'certificates of these registries are not checked: anyone in between can read the credentials';
    log.warn({ registries: unchecked }, `insecureSkipVerify: ${danger}, and say what a tag names`);
  }
  if (config.helloWorld) return createHelloWorld();
  const upstream = createUpstream({
    registries: config.registries.map(({ name, mirrors, proxy, ...registry }) => ({
      name,
      mirrors,
      proxy,
      limits: { concurrency: registry.maxConcurrency, perSecond: registry.requestsPerSecond },
      auth: authOf(registry),
      ...wireOf(registry),
    })),
    dockerConfig: config.upstreams.dockerConfig,
    allowUnlisted: config.upstreams.allowUnlisted,
    hold: config.upstreams.hold,
    proxies: proxiesOf(process.env),
    ...events,
  });
  return config.airGapped ? createAirGapped((host) => upstream.allows(host)) : upstream;
}

type Registry = Omit<Config['registries'][number], 'name' | 'mirrors' | 'proxy'>;

function authOf({ auth, opts = {} }: Registry): RegistryOptions['auth'] {
  const { user, password, passwordFromFile: passwordFile, token } = auth;
  if (token?.provider === 'ecr') return { ecr: { ...providerOptions(token.providerOpts), expiry: token.expiry } };
  if (token?.static) return { token: token.static };
  if (user !== undefined) return { user, password, passwordFile };
  return { user: text(opts.username), password: text(opts.password) };
}

function wireOf({ scheme, tls, opts = {} }: Registry): Pick<RegistryOptions, 'scheme' | 'tls'> {
  const read = (file: string | undefined) => (file ? readFileSync(file, 'utf8') : undefined);
  return {
    scheme: opts.scheme === 'http' ? 'http' : scheme,
    tls: {
      ca: read(tls.ca ?? text(opts.cacert)),
      cert: read(tls.cert ?? text(opts.tlscert)),
      key: read(tls.key ?? text(opts.tlskey)),
      insecureSkipVerify: tls.insecureSkipVerify || opts.insecure === true,
    },
  };
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** `profile=NAME,region=NAME` */
function providerOptions(options = ''): { profile?: string; region?: string } {
  return Object.fromEntries(
    [...options.matchAll(/(profile|region)\s*=\s*([^,]+)/gi)].map(([, key = '', value = '']) => [
      key.toLowerCase(),
      value.trim(),
    ]),
  );
}
