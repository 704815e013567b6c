import type { Config } from '#config';
import { mayBePublic } from '#upstream/adapters';

/** Whether clients may be sent to the blob store for what is in it: it is one that they reach, as far as can be told. */
export function redirects({ redirect, blobs: { s3 } }: Pick<Config, 'redirect' | 'blobs'>): boolean {
  if (!s3 || redirect === 'never') return false;
  if (redirect === 'always') return true;
  const { protocol, hostname } = new URL(s3.endpoint);
  // A name without a dot is one of a local network, a cluster or a compose file.
  return protocol === 'https:' && /[.:]/.test(hostname) && mayBePublic(hostname) && !CLUSTER_NAME.test(hostname);
}

const CLUSTER_NAME = /\.(?:svc|cluster)$/i;
