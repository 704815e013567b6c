import { arch, endianness, platform } from 'node:os';
import type { Platform } from './types.js';

const PART = /^[a-z0-9_][a-z0-9_.-]{0,63}$/;

/** Other names of an architecture, as `uname -m` and Debian write them. */
const ARCHITECTURES: Readonly<Record<string, readonly [architecture: string, variant?: string]>> = {
  x86_64: ['amd64'],
  'x86-64': ['amd64'],
  i386: ['386'],
  i686: ['386'],
  aarch64: ['arm64'],
  armhf: ['arm', 'v7'],
  armel: ['arm', 'v6'],
};
/** The variant that a missing one means. */
const DEFAULT_VARIANTS: Readonly<Record<string, string>> = { amd64: 'v1', arm64: 'v8', arm: 'v7' };

/** `os/architecture[/variant]`; undefined when it is not that. Normalised, so that one platform has one form. */
export function parsePlatform(text: string): Platform | undefined {
  const parts = text.toLowerCase().split('/');
  const [os, architecture, variant] = parts;
  if (os === undefined || architecture === undefined || parts.length > 3) return undefined;
  if (!parts.every((part) => PART.test(part))) return undefined;
  return normalise({ os, architecture, ...(variant === undefined ? {} : { variant }) });
}

/** `os/architecture[/variant]`, as given. */
export function formatPlatform(value: Platform): string {
  return `${value.os}/${value.architecture}${value.variant === undefined ? '' : `/${value.variant}`}`;
}

/** Whether a child for `have` serves who wants `wanted`: equal once `arm64` and `arm64/v8` and the like are one. */
export function platformMatches(wanted: Platform, have: Platform): boolean {
  return formatPlatform(normalise(wanted)) === formatPlatform(normalise(have));
}

/** The platform whose images run here: containers on macOS are Linux. */
export function hostPlatform(): Platform {
  const os = platform() === 'win32' ? 'windows' : 'linux';
  const names: Readonly<Record<string, string>> = {
    x64: 'amd64',
    ia32: '386',
    ppc64: endianness() === 'LE' ? 'ppc64le' : 'ppc64',
    mipsel: 'mipsle',
  };
  return normalise({ os, architecture: names[arch()] ?? arch() });
}

/** Lower case, common architecture names, no variant where it is the one that a missing variant means (but `arm/v7`). */
function normalise(value: Platform): Platform {
  const os = value.os.toLowerCase();
  const written = value.architecture.toLowerCase();
  const alias = Object.hasOwn(ARCHITECTURES, written) ? ARCHITECTURES[written] : undefined;
  const [architecture, implied] = alias ?? [written];
  const given = value.variant?.toLowerCase().replace(/^(?=[0-9])/, 'v') || implied;
  const usual = Object.hasOwn(DEFAULT_VARIANTS, architecture) ? DEFAULT_VARIANTS[architecture] : undefined;
  const variant = architecture === 'arm' ? (given ?? usual) : given === usual ? undefined : given;
  return { os, architecture, ...(variant === undefined ? {} : { variant }) };
}
