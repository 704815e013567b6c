/**
 * Keys that are checked but that nothing reads yet. `load` warns about each that is set. Remove a key when its
 * feature works; a key stands for everything below it.
 */
export const NOT_YET: readonly string[] = [
  'admin.token',
  'cache',
  'clientAuth',
  'history',
  'imageFile',
  'listConfig',
  'prefetch.referrers',
  'preload',
  'preloadImages',
  'pruneConfig',
  'publicUrl',
  'redirect',
  'registries[].auth.token.provider',
  'registries[].maxConcurrency',
  'registries[].mirrors',
  'registries[].opts',
  'registries[].proxy',
  'registries[].requestsPerSecond',
  'resolveRef',
  'serverTlsConfig',
  'spool.maxBytes',
  'tags.rules',
  'trustProxy',
  'watch',
];
