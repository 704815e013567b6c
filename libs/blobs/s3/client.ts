import { Client, type ClientOptions } from 'minio';
import { environmentKeys, type KeyPair, MachineRole } from './credentials.js';

interface ClientSettings extends ClientOptions {
  readonly accessKey?: string;
  readonly secretKey?: string;
}

/** minio's client. A module of its own, since it and what it needs take 20 MB, which an installation without S3 has no use for. */
export function createClient({ accessKey, secretKey, ...options }: ClientSettings): Client {
  const keys: KeyPair | undefined = accessKey && secretKey ? { accessKey, secretKey } : environmentKeys();
  return new Client({ ...options, ...(keys ?? { credentialsProvider: new MachineRole() }) });
}
