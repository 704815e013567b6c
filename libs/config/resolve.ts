import { homedir, networkInterfaces } from 'node:os';
import { join, resolve } from 'node:path';
import type { z } from 'zod';
import { hostPlatform } from '#oci';
import type { Stack } from './rules.js';
import type { Config, schema } from './schema.js';

/** What defaults depend on. */
export interface Machine {
  /** In image-spec words. */
  readonly os: string;
  readonly arch: string;
  readonly root: boolean;
  readonly home: string;
  /** Address under which other machines may reach this one. */
  readonly address: string;
}

export function thisMachine(): Machine {
  const { os, architecture } = hostPlatform();
  return {
    os,
    arch: architecture,
    root: process.getuid?.() === 0,
    home: homedir(),
    address: outerAddress(),
  };
}

/** The first address that is not loopback, IPv4 before IPv6. */
function outerAddress(): string {
  const outer = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter((address) => !address.internal && !address.address.startsWith('fe80:'));
  return (outer.find((address) => address.family === 'IPv4') ?? outer[0])?.address ?? '127.0.0.1';
}

interface Computed {
  readonly stack: Stack;
  readonly adminPort: number;
  readonly machine: Machine;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Fills in the defaults that depend on the machine or on other keys, and freezes the result. */
export function resolveDefaults(parsed: z.output<typeof schema>, { stack, adminPort, machine, env }: Computed): Config {
  const { imagePath, blobs, spool, relay, ...rest } = parsed;
  const data = machine.root ? '/var/lib' : env.XDG_DATA_HOME || join(machine.home, '.local/share');
  const dataDir = resolve(parsed.dataDir ?? imagePath ?? join(data, 'ociregistry'));
  const { s3 } = blobs;
  return freeze({
    ...rest,
    stack,
    dataDir,
    adminPort: parsed.adminPort ?? adminPort,
    health: parsed.health || undefined,
    metrics: parsed.metrics || undefined,
    os: parsed.os ?? machine.os,
    arch: parsed.arch ?? machine.arch,
    blobs: s3
      ? { s3: { ...s3, endpoint: s3.endpoint ?? `https://s3.${s3.region}.amazonaws.com` } }
      : { filesystem: { path: resolve(blobs.filesystem?.path ?? join(dataDir, 'blobs')) } },
    cache: { ...parsed.cache, maxSize: parsed.cache.maxSize ?? (s3 ? undefined : { percent: 80 }) },
    spool: { ...spool, path: resolve(spool.path ?? join(dataDir, 'spool')) },
    relay: { ...relay, advertise: advertised(relay.advertise, relay.port, machine.address) },
  }) as Config;
}

function advertised(text: string | undefined, port: number, address: string) {
  const given = /^(.*?)(?::(\d+))?$/.exec(text ?? '')!;
  // An IPv6 address in brackets ends in `]`, so that the last colon always starts the port.
  const host = given[1]?.replace(/^\[|\]$/g, '');
  return { host: host || address, port: given[2] === undefined ? port : Number(given[2]) };
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    Object.values(value).forEach(freeze);
    Object.freeze(value);
  }
  return value;
}
