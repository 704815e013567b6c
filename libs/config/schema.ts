import { z } from 'zod';
import { policy } from './sections/policy.js';
import { server } from './sections/server.js';
import { storage } from './sections/storage.js';
import { upstreams } from './sections/upstreams.js';

/** The whole configuration file. Unknown keys are refused. */
export const schema = z.strictObject({ ...server, ...storage, ...upstreams, ...policy });

type Parsed = z.output<typeof schema>;

// `passwordFromFile` of registries stays: its file is read again while the server runs.
type Readonly_<T> = T extends readonly (infer E)[]
  ? readonly Readonly_<E>[]
  : T extends object
    ? {
        readonly [K in keyof T as K extends 'passwordFromFile'
          ? K
          : K extends `${string}FromEnv` | `${string}FromFile`
            ? never
            : K]: Readonly_<T[K]>;
      }
    : T;

/** What `load` adds to the parsed file. */
interface Resolved {
  /** Absolute. */
  dataDir: string;
  os: string;
  arch: string;
  adminPort: number;
  /** What to start: one process with private parts, or parts that are shared over the network. */
  stack: 'standalone' | 'distributed';
  /** Exactly one of the two is set. */
  blobs: { filesystem?: { path: string }; s3?: NonNullable<Parsed['blobs']['s3']> & { endpoint: string } };
  spool: Parsed['spool'] & { path: string };
  relay: Omit<Parsed['relay'], 'advertise' | 'tls'> & {
    /** Port 0 stands for the port that the relay was given. */
    advertise: { host: string; port: number };
    tls?: NonNullable<Parsed['relay']['tls']> & { cert: string; key: string };
  };
}

/** The configuration as the program uses it: defaults applied, secrets resolved, durations in ms, sizes in bytes. */
export type Config = Readonly_<Omit<Parsed, keyof Resolved | 'imagePath'> & Resolved>;

/** The process that is started: everything, or one of the three. */
export const ROLES = ['all', 'gateway', 'puller', 'admin'] as const;
export type Role = (typeof ROLES)[number];
