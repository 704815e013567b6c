import type { Platform } from './types.js';

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', x86_64: 'amd64', aarch64: 'arm64', ia32: '386' };
/** Variants that every machine of the architecture has; images leave them out or not. */
const DEFAULT_VARIANT: Readonly<Record<string, string>> = { arm64: 'v8', arm: 'v7' };

/** `os/architecture[/variant]`. Throws Error when it is not of that form. */
export function parsePlatform(text: string): Platform {
  const [os, architecture, variant, ...rest] = text.split('/');
  if (!os || !architecture || rest.length > 0 || variant === '') throw new Error(`not a platform (os/architecture[/variant]): ${text}`);
  return { os, architecture: ARCHITECTURES[architecture] ?? architecture, ...(variant ? { variant } : {}) };
}

export function formatPlatform({ os, architecture, variant }: Platform): string {
  return variant ? `${os}/${architecture}/${variant}` : `${os}/${architecture}`;
}

export function platformMatches(wanted: Platform, have: Platform): boolean {
  const variant = (p: Platform) => p.variant ?? DEFAULT_VARIANT[p.architecture];
  return wanted.os === have.os && wanted.architecture === have.architecture && variant(wanted) === variant(have);
}

/** The machine's own, in Go's words as manifests have them. */
export function hostPlatform(): Platform {
  return { os: process.platform === 'win32' ? 'windows' : process.platform, architecture: ARCHITECTURES[process.arch] ?? process.arch };
}
