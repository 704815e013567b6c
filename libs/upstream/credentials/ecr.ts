import { denied, upstreamFailure } from '../failures.js';
import { Renewed } from './renewed.js';
import type { CredentialSource } from './source.js';

export interface EcrOptions {
  /** Default: from the host's name, else the environment's. */
  readonly region?: string;
  /** Of the shared AWS configuration. Default: the provider chain of the AWS SDK. */
  readonly profile?: string;
  /** Milliseconds after which a token is renewed at the latest. */
  readonly expiry?: number;
}

/** `123456789012.dkr.ecr.eu-west-1.amazonaws.com`, its FIPS, dual-stack and Chinese forms. */
const HOST =
  /^(\d{12})\.dkr[.-]ecr(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|on\.(?:aws|amazonwebservices\.com\.cn))$/;
const LIFE = 12 * 3600_000;
const REQUEST_MS = 15_000;

export function regionOf(host: string): string | undefined {
  return HOST.exec(host)?.[2];
}

/** Basic credentials of Amazon ECR: `AWS` and a token of 12 hours (B10), renewed when three quarters of its life are over. */
export function fromEcr(
  host: string,
  { region = regionOf(host), profile, expiry = LIFE }: EcrOptions,
): CredentialSource {
  return new Renewed(async () => {
    // Takes 100 ms and 20 MB, so only for those who use it.
    const { ECRClient, GetAuthorizationTokenCommand } = await import('@aws-sdk/client-ecr');
    const client = new ECRClient({ ...(region ? { region } : {}), ...(profile ? { profile } : {}), maxAttempts: 3 });
    try {
      const asked = Date.now();
      const signal = AbortSignal.timeout(REQUEST_MS);
      const { authorizationData } = await client.send(new GetAuthorizationTokenCommand({}), { abortSignal: signal });
      const { authorizationToken = '', expiresAt } = authorizationData?.[0] ?? {};
      const [, user, password] = /^([^:]+):(.+)$/s.exec(Buffer.from(authorizationToken, 'base64').toString()) ?? [];
      if (!user || !password) throw denied();
      const end = expiresAt ? expiresAt.getTime() : asked + LIFE;
      const renewAt = asked + Math.min(expiry, (end - asked) * 0.75);
      return { credentials: { user, password }, renewAt, expiresAt: end - 60_000 };
    } catch (cause) {
      const message = 'no credentials for the upstream registry: Amazon ECR gave no token';
      throw upstreamFailure('DENIED', message, { cause });
    } finally {
      client.destroy();
    }
  });
}
