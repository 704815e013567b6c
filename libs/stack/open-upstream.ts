import { readFileSync } from 'node:fs';
import type { Config } from '#config';
import type { Log } from '#registry';
import type { Upstream } from '#upstream';
import { createUpstream, proxiesOf, type UpstreamOptions } from '#upstream/adapters';

type Events = Pick<UpstreamOptions, 'hop' | 'onPaused' | 'onFailing'>;

/** The registries as configured. Says aloud what is configured to be unsafe. */
export function openUpstream(config: Config, log: Log, events: Events): Upstream {
  const read = (file: string | undefined) => (file ? readFileSync(file, 'utf8') : undefined);
  const unchecked = config.registries.filter(({ tls }) => tls.insecureSkipVerify).map(({ name }) => name);
  if (unchecked.length > 0) {
    const danger = 'certificates of these registries are not checked: anyone in between can read the credentials';
    log.warn({ registries: unchecked }, `insecureSkipVerify: ${danger}, and say what a tag names`);
  }
  return createUpstream({
    registries: config.registries.map(({ name, scheme, auth, tls, mirrors, proxy, ...limits }) => ({
      name,
      scheme,
      mirrors,
      proxy,
      limits: { concurrency: limits.maxConcurrency, perSecond: limits.requestsPerSecond },
      auth: { user: auth.user, password: auth.password, token: auth.token?.static },
      tls: { ca: read(tls.ca), cert: read(tls.cert), key: read(tls.key), insecureSkipVerify: tls.insecureSkipVerify },
    })),
    allowUnlisted: config.upstreams.allowUnlisted,
    hold: config.upstreams.hold,
    proxies: proxiesOf(process.env),
    ...events,
  });
}
