import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

export interface Readings {
  /** Complete bodies with the right digest, and with another. */
  readonly right: number;
  readonly wrong: number;
  /** Connections that ended before the declared length; answers other than 200. */
  readonly cut: number;
  readonly refused: number;
  readonly statuses: Readonly<Record<string, number>>;
  readonly firstByteMs: { readonly p50: number; readonly max: number };
  readonly seconds: number;
}

/** `clients` simultaneous GETs of one blob, spread over `urls`, from a process of their own that hashes what comes. */
export async function readAll(urls: readonly string[], digest: string, clients: number): Promise<Readings> {
  const args = [join(__dirname, 'many-readers.mjs'), urls.join(','), digest.slice('sha256:'.length), String(clients)];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return JSON.parse(stdout) as Readings;
}
