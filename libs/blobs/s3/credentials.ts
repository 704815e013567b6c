import { readFile } from 'node:fs/promises';
import { IamAwsProvider } from 'minio';
import { SingleFlight, within } from '#async';

type Credentials = Awaited<ReturnType<IamAwsProvider['getCredentials']>>;

export interface KeyPair {
  readonly accessKey: string;
  readonly secretKey: string;
  readonly sessionToken?: string;
}

/** Keys from the environment, by AWS's names before MinIO's. */
export function environmentKeys(env: NodeJS.ProcessEnv = process.env): KeyPair | undefined {
  const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN } = env;
  if (AWS_ACCESS_KEY_ID && AWS_SECRET_ACCESS_KEY) {
    return { accessKey: AWS_ACCESS_KEY_ID, secretKey: AWS_SECRET_ACCESS_KEY, sessionToken: AWS_SESSION_TOKEN };
  }
  const accessKey = env.MINIO_ACCESS_KEY ?? env.MINIO_ROOT_USER;
  const secretKey = env.MINIO_SECRET_KEY ?? env.MINIO_ROOT_PASSWORD;
  return accessKey && secretKey ? { accessKey, secretKey } : undefined;
}

/** One request for credentials, connecting included; also what a machine without a metadata service costs. */
const TIMEOUT = 5_000;
/** Fetched again this long before they expire: an upload signed just before goes on for a while. */
const LEEWAY = 5 * 60_000;

/**
 * The role of the machine: a web identity (EKS), a container's (ECS, EKS pod identity), an EC2 instance's (IMDSv2).
 * minio's provider does the first; its other two wait for ever and read fields (`AccessKeyID`, `Code`) that those
 * services do not send.
 */
export class MachineRole extends IamAwsProvider {
  private current?: { credentials: Credentials; refreshAt: number };
  private readonly flights = new SingleFlight<Credentials>();

  constructor(private readonly env: NodeJS.ProcessEnv = process.env) {
    super({});
  }

  override async getCredentials(): Promise<Credentials> {
    if (this.env.AWS_WEB_IDENTITY_TOKEN_FILE) {
      return this.flights.run('', () =>
        within(2 * TIMEOUT, super.getCredentials(), () => new Error('STS did not answer')),
      );
    }
    if (this.current && Date.now() < this.current.refreshAt) return this.current.credentials;
    return this.flights.run('', () => this.fetch());
  }

  private async fetch(): Promise<Credentials> {
    const role = (await this.containerRole()) ?? (await this.instanceRole());
    const { AccessKeyId, SecretAccessKey, Token, Expiration } = JSON.parse(role) as Record<string, string | undefined>;
    if (!AccessKeyId || !SecretAccessKey) throw new Error('no S3 keys, and this machine has no role that gives some');
    const credentials = {
      getAccessKey: () => AccessKeyId,
      getSecretKey: () => SecretAccessKey,
      getSessionToken: () => Token,
    } as Credentials;
    const expires = Expiration ? Date.parse(Expiration) : Number.POSITIVE_INFINITY;
    // Never more often than once a minute, however short-lived they are.
    this.current = { credentials, refreshAt: Math.max(expires - LEEWAY, Date.now() + 60_000) };
    return credentials;
  }

  private async containerRole(): Promise<string | undefined> {
    const { AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: relative, AWS_CONTAINER_CREDENTIALS_FULL_URI: full } = this.env;
    if (!relative && !full) return undefined;
    const { AWS_CONTAINER_AUTHORIZATION_TOKEN: token, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: file } = this.env;
    const authorization = file ? (await readFile(file, 'utf8')).trim() : token;
    const url = relative ? new URL(relative, 'http://169.254.170.2') : new URL(full!);
    return ask(url, authorization ? { headers: { authorization } } : {});
  }

  private async instanceRole(): Promise<string> {
    if (this.env.AWS_EC2_METADATA_DISABLED === 'true') throw new Error('no S3 keys');
    const service = this.env.AWS_EC2_METADATA_SERVICE_ENDPOINT ?? 'http://169.254.169.254';
    const token = await ask(new URL('/latest/api/token', service), {
      method: 'PUT',
      headers: { 'x-aws-ec2-metadata-token-ttl-seconds': '21600' },
    });
    const headers = { 'x-aws-ec2-metadata-token': token };
    const roles = new URL('/latest/meta-data/iam/security-credentials/', service);
    const [role] = (await ask(roles, { headers })).split('\n');
    return ask(new URL(encodeURIComponent(role!.trim()), roles), { headers });
  }
}

async function ask(url: URL, init: RequestInit): Promise<string> {
  const response = await fetch(url, { ...init, signal: AbortSignal.timeout(TIMEOUT) });
  const body = await response.text();
  if (!response.ok) throw new Error(`${url.host} answered ${response.status} when asked for credentials`);
  return body;
}
