import type { Config } from '#config';
import { canonicalHost } from '#oci';
import type { SourceRules } from '#registry';
import type { Stack } from '#stack';

/** Which upstream a name means, and whether it may be pulled from. */
export function sourceRules(config: Config, { upstream }: Pick<Stack, 'upstream'>): SourceRules {
  const configured = config.registries.map(({ name }) => canonicalHost(name)!);
  return {
    defaultNs: config.defaultNs,
    configured: new Set(configured),
    allows: (host) => upstream.allows(host),
  };
}
