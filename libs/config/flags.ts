import { KEYS } from './keys.js';

/** A command line flag that sets a key. */
export interface Flag {
  readonly key: string;
  /** What commander takes. */
  readonly syntax: string;
  /** Before or after the sub-command, as the Go server has it; others belong to `serve`. */
  readonly global?: true;
}

/** The flags of the Go server, and ours. Descriptions come from the schema. */
export const FLAGS: readonly Flag[] = [
  { key: 'imagePath', syntax: '--image-path <directory>', global: true },
  { key: 'logLevel', syntax: '--log-level <level>', global: true },
  { key: 'logFile', syntax: '--log-file <file>', global: true },
  { key: 'port', syntax: '--port <port>' },
  { key: 'host', syntax: '--host <address>' },
  { key: 'os', syntax: '--os <os>' },
  { key: 'arch', syntax: '--arch <architecture>' },
  { key: 'pullTimeout', syntax: '--pull-timeout <ms>' },
  { key: 'health', syntax: '--health <port>' },
  { key: 'metrics', syntax: '--metrics <port>' },
  { key: 'alwaysPullLatest', syntax: '--always-pull-latest [boolean]' },
  { key: 'helloWorld', syntax: '--hello-world [boolean]' },
  { key: 'airGapped', syntax: '--air-gapped [boolean]' },
  { key: 'defaultNs', syntax: '--default-ns <host>' },
  { key: 'preloadImages', syntax: '--preload-images <file>' },
  { key: 'dataDir', syntax: '--data-dir <directory>' },
  { key: 'adminPort', syntax: '--admin-port <port>' },
];

/** What the flag does, in the schema's words without its Markdown. */
export function flagDescription(flag: Flag): string {
  return KEYS.get(flag.key)!.description.replaceAll('`', '').replace(/\.$/, '');
}
