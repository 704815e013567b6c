import type { Credentials } from '../options.js';
import { WatchedFile } from './watched-file.js';

/** Where the credentials of one registry come from. */
export interface CredentialSource {
  /** What holds now; undefined for anonymous. Rejects with Failure DENIED when it cannot be had. */
  get(): Promise<Credentials | undefined>;
  /** What `get` gave was refused: look again next time. */
  refused(): void;
}

export function fixed(credentials: Credentials | undefined): CredentialSource {
  return { get: async () => credentials, refused: () => {} };
}

/** A user whose password stands in a file that is replaced now and then, as Kubernetes does with secrets. */
export function fromPasswordFile(user: string | undefined, path: string): CredentialSource {
  const file = new WatchedFile(path, (text) => text.replace(/\r?\n$/, '') || undefined);
  return {
    get: async () => ({ user, password: await file.read() }),
    refused: () => file.expire(),
  };
}
